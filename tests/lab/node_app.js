// Node's own HTTP server with its default settings, which logs when requests end and connections close, and who closed.
//
//     node node_app.js HOST:PORT
"use strict";

const http = require("node:http");

const [host, port] = process.argv[2].split(":");
// How long each answer takes, so that it is never in the same segment or microsecond as something else.
const WORK_MS = 20;
let connections = 0;

function log(what) {
  console.log(`${new Date().toISOString().slice(11, 23)} ${what}`);
}

const server = http.createServer((request, response) => {
  request.resume();
  setTimeout(() => {
    response.on("finish", () => {
      request.socket.idleSince = process.hrtime.bigint();
      log(`${request.socket.named}: answered ${request.method} ${request.url}`);
    });
    response.end("fine\n");
  }, WORK_MS);
});

server.on("connection", (socket) => {
  connections += 1;
  socket.named = `connection ${connections} from ${socket.remoteAddress}:${socket.remotePort}`;
  let ended = false;
  log(`${socket.named}: accepted`);
  socket.on("end", () => {
    ended = true;
  });
  socket.on("close", () => {
    const idle = socket.idleSince === undefined ? 0 : Number(process.hrtime.bigint() - socket.idleSince) / 1e9;
    log(`${socket.named}: closed by ${ended ? "the gateway" : "node"} after ${idle.toFixed(3)} s idle`);
  });
});

server.listen(Number(port), host, () => {
  log(`node ${process.version} listening on ${host}:${port}; keepAliveTimeout is ${server.keepAliveTimeout} ms`);
});
