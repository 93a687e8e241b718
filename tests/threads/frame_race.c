/* frame_race.c - one frame read and given back by many threads: the last one frees it, once.
 * For ThreadSanitizer. */
#include <pthread.h>
#include <string.h>

#include "realtime/frame.h"

enum { READERS = 4, ROUNDS = 20000 };

static const struct tg_epoch epoch = {"e"};

static void *read_frames(void *arg)
{
    struct tg_frame *f = arg;

    for (int i = 0; i < ROUNDS; i++) {
        struct tg_frame *mine = tg_frame_ref(f);
        tg_str sse = tg_frame_sse(mine);

        TG_ASSERT(sse.n > 4 && memcmp(sse.p, "id: ", 4) == 0);
        TG_ASSERT(tg_str_eq(tg_frame_json(mine), TG_STR("{\"a\":1}")));
        tg_frame_unref(mine);
    }
    tg_frame_unref(f);
    return NULL;
}

int main(void)
{
    pthread_t threads[READERS];
    struct tg_frame *f = tg_frame_create(TG_FRAME_EVENT, &epoch, (struct tg_pos){1, 2}, TG_STR(""),
                                         TG_STR("{\"a\":1}"));

    for (int i = 0; i < READERS; i++) {
        TG_ASSERT(pthread_create(&threads[i], NULL, read_frames, tg_frame_ref(f)) == 0);
    }
    tg_frame_unref(f);
    for (int i = 0; i < READERS; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    return 0;
}
