#!/usr/bin/env bash
# layers - includes only point down, siblings do not know each other (DESIGN.md section 7),
# and a library's header is known only in its folder.
. "$(dirname "$0")/common.sh"

# folder: folders whose headers it may include, besides its own.
LAYERS='
util:
loop: util
http1: util loop
ws: util
auth: util loop
store: util loop
upstream: util loop
config: util
realtime: util loop store auth upstream
sync: util loop store auth upstream
handlers: util loop http1 ws auth store upstream realtime sync
server: util loop http1 ws auth store upstream config realtime sync handlers
'

# header (a regex): folders that may include it.
LIBRARIES='
uv\.h: loop
uv/.*: loop
curl/.*: upstream
hiredis/.*: store
libwebsockets\.h: realtime
jwt\.h: auth
openssl/.*: auth
yaml\.h: config
microhttpd\.h: server
'

check() {
    product_files | LAYERS=$LAYERS LIBRARIES=$LIBRARIES perl -ne '
        BEGIN {
            for (split /\n/, $ENV{LAYERS}) {
                /^(\w+):(.*)/ or next;
                $may{$1} = { map { $_ => 1 } $1, split " ", $2 };
            }
            for (split /\n/, $ENV{LIBRARIES}) {
                /^(\S+): (.*)/ and push @libs, [qr/^$1$/, { map { $_ => 1 } split " ", $2 }];
            }
        }
        chomp;
        my $file = $_;
        my ($folder) = $file =~ m{^(?:lib/)?(\w+)/} or next;
        open my $in, "<", $file or die "$file: $!";
        while (my $line = <$in>) {
            $line =~ /^\s*#\s*include\s*([<"])([^>"]+)[>"]/ or next;
            my ($kind, $name) = ($1, $2);
            if ($kind eq "\x22") {
                my ($to) = $name =~ m{^(\w+)/};
                if (!defined $to || $name =~ m{\.\.}) {
                    say_it($file, $., "\"$name\" does not name its folder");
                } elsif (!$may{$to}) {
                    say_it($file, $., "\"$name\" is in no layer");
                } elsif (!$may{$folder}) {
                    say_it($file, $., "$folder is in no layer");
                } elsif (!$may{$folder}{$to}) {
                    say_it($file, $., "$folder must not know $to: \"$name\"");
                }
            } else {
                for (@libs) {
                    $name =~ $_->[0] && !$_->[1]{$folder} and
                        say_it($file, $., "<$name> is known only to " . join " ", keys %{$_->[1]});
                }
            }
        }
        sub say_it { print "$_[0]:$_[1]: $_[2]\n"; $bad++ }
        END { exit($bad ? 1 : 0) }'
}

plant() {
    passes "includes that point down" \
        lib/loop/loop.c '#include "util/str.h"
#include <uv.h>' \
        lib/util/str.c '#include "util/str.h"' \
        server/main.c '#include "config/keys.h"'
    caught "an include that points up" lib/util/str.c '#include "loop/loop.h"'
    caught "an include of a sibling" lib/auth/token.c '#include "store/store.h"'
    caught "configuration below the server" handlers/proxy.c '#include "config/keys.h"'
    caught "a library outside its folder" lib/upstream/client.c '#include <uv.h>'
    caught "a path with dots" lib/loop/loop.c '#include "../util/str.h"'
    caught "a header without its folder" lib/util/str.c '#include "str.h"'
}

lint "$@"
