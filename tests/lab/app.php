<?php
// An application for php-fpm that misbehaves, by path.
switch (parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)) {
    case '/killed':
        file_get_contents('php://input');
        posix_kill(getmypid(), 9);
        break;
    case '/fails':
        throw new RuntimeException('no such table: orders');
    case '/slow':
        sleep(3);
        echo "late\n";
        break;
    case '/short':
        header('Content-Length: 1000');
        echo str_repeat('x', 100);
        break;
    default:
        echo 'This is ', $_SERVER['REQUEST_URI'], "\n";
}
