#!/usr/bin/env bash
# locks - three ways across threads and no fourth: locks and atomics stand only in the files
# that make those three (STYLE.md section 4).
. "$(dirname "$0")/common.sh"

LOCKS='\b(pthread_(mutex|cond|rwlock|spin|barrier)_\w+|uv_(mutex|cond|sem|rwlock|barrier)_\w+|_Atomic|atomic_\w+|__atomic_\w+|__sync_\w+|mtx_\w+|cnd_\w+|sem_(init|wait|post))\b|<stdatomic\.h>|<semaphore\.h>'

check() {
    local bad=0 file
    while read -r file; do
        case $file in
        lib/loop/* | lib/util/log.c | lib/util/count.h | lib/util/ref.[ch] | realtime/frame.c) ;;
        *) banned "$file" "$LOCKS" "a lock or atomic outside its files" || bad=1 ;;
        esac
    done < <(product_files)
    return $bad
}

plant() {
    passes "where they belong" lib/loop/mailbox.c 'pthread_mutex_lock(&m);' \
        lib/util/count.h '#include <stdatomic.h>'
    caught "a mutex in a handler" handlers/proxy.c 'int r = pthread_mutex_lock(&m);'
    caught "an atomic in the hub" realtime/hub.c 'static _Atomic int n;'
    caught "the header alone" lib/store/redis.c '#include <stdatomic.h>'
}

lint "$@"
