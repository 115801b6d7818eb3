#!/usr/bin/perl
# A FastCGI application by libfcgi that misbehaves, by path: fastcgi_app.pl ADDRESS:PORT
use strict;
use warnings;
use FCGI;
use IO::Handle;

$| = 1;
my $socket = FCGI::OpenSocket( $ARGV[0], 64 );
my ( $input, $output, $errors ) = ( IO::Handle->new, IO::Handle->new, IO::Handle->new );
my $request = FCGI::Request( $input, $output, $errors, \my %variables, $socket );
print "listening on $ARGV[0]\n";
while ( $request->Accept >= 0 ) {
    my $path = $variables{REQUEST_URI};
    print "read $variables{REQUEST_METHOD} $path\n";
    if ( $path eq '/nothing' ) {
        print $errors "no template for /nothing\n";
    }
    elsif ( $path eq '/dies' ) {
        1 while read $input, my $content, 4096;
        kill KILL => $$;
    }
    else {
        print $output "Content-Type: text/plain\r\n\r\nThis is $path\n";
    }
}
