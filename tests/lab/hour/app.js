// An application on Node's own HTTP server with its default settings: pages, assets, forms, slow answers and streams.
//
//     node app.js HOST:PORT
"use strict";

const crypto = require("node:crypto");
const http = require("node:http");

const [host, port] = process.argv[2].split(":");

const answers = {
  health: (query, request, response) => response.end("fine\n"),

  // Without its length, so chunked.
  page: (query, request, response) => {
    response.setHeader("Content-Type", "text/html");
    response.write("<!doctype html><title>page</title>\n");
    setTimeout(() => response.end("x".repeat(Number(query.get("bytes") ?? 5000))), 5 + Math.random() * 60);
  },

  asset: (query, request, response) => {
    const content = "a".repeat(Number(query.get("bytes") ?? 8000));
    const tag = `"${crypto.createHash("sha1").update(content).digest("hex")}"`;
    response.setHeader("ETag", tag);
    if (request.headers["if-none-match"] === tag) {
      response.writeHead(304).end();
      return;
    }
    response.writeHead(200, { "Content-Length": content.length }).end(content);
  },

  old: (query, request, response) => response.writeHead(302, { Location: "/node/page" }).end(),

  form: (query, request, response) => {
    const said = JSON.stringify({ octets: request.octets });
    response.writeHead(201, { "Content-Type": "application/json", "Content-Length": said.length }).end(said);
  },

  beacon: (query, request, response) => response.writeHead(204).end(),

  slow: (query, request, response) => {
    setTimeout(() => response.end("at last\n"), Number(query.get("seconds") ?? 2) * 1000);
  },

  // A line every half second.
  events: (query, request, response) => {
    const until = Date.now() + Number(query.get("seconds") ?? 5) * 1000;
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    const timer = setInterval(() => {
      response.write("data: it goes on\n\n");
      if (Date.now() >= until) {
        clearInterval(timer);
        response.end();
      }
    }, 500);
  },

  download: (query, request, response) => {
    response.write("d".repeat(Number(query.get("bytes") ?? 1000000)));
    response.end();
  },
};

const server = http.createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, "http://app");
  const answer = answers[pathname.split("/").pop()];
  request.octets = 0;
  request.on("data", (piece) => {
    request.octets += piece.length;
  });
  // The application's own work begins when all of the request is there.
  request.on("end", () => setTimeout(() => answer(searchParams, request, response), 1 + Math.random() * 40));
});

server.listen(Number(port), host, () => {
  console.log(`node ${process.version} on ${host}:${port}; keepAliveTimeout is ${server.keepAliveTimeout} ms`);
});
