#!/usr/bin/env bash
# banned - calls that have a better one here, and words that hide a race.
. "$(dirname "$0")/common.sh"

STRINGS='\b(strcpy|strcat|sprintf|vsprintf|strtok|strtok_r|atoi|atol|atoll|atof|sscanf|gets|alloca)\s*\('
PROCESS='\b(system|popen)\s*\('
SLEEP='\b(usleep|sleep|nanosleep|clock_nanosleep)\s*\('
JANSSON='\bjson_load\w*\s*\('

check() {
    local bad=0 file
    while read -r file; do
        banned "$file" "$STRINGS" "banned call" || bad=1
        banned "$file" "$PROCESS" "banned call" || bad=1
        banned "$file" '\bvolatile\b' "banned word" || bad=1
        case $file in
        tests/bench/*) ;;
        *) banned "$file" "$SLEEP" "wait for a condition instead" || bad=1 ;;
        esac
        case $file in
        lib/util/json.c | tests/*) ;;
        *) banned "$file" "$JANSSON" "parse with tg_json_parse()" || bad=1 ;;
        esac
    done < <(all_files)
    return $bad
}

plant() {
    passes "the words in comments, strings and longer names" lib/util/a.c \
        '/* strcpy(a, b) */ const char *s = "system(1) volatile"; // gets(x)
int my_sprintf(int a); int n = my_sprintf(2);'
    passes "the one door to jansson" lib/util/json.c 'json_loadb(a);'
    caught "sprintf" lib/util/a.c 'int f(char *p) { return sprintf(p, "x"); }'
    caught "system" server/main.c 'int x = system ("ls");'
    caught "volatile" lib/loop/a.c 'static volatile int stop;'
    caught "sleep in a test" tests/unit/util/test_a.c 'void f(void) { usleep(10); }'
    caught "another door to jansson" handlers/publish.c 'json_loads(text, 0, NULL);'
}

lint "$@"
