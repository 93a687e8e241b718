/* hello.h - what a stream says first, in the words of all transports: where it begins, what each
 * topic's verdict is, what is not covered. */
#ifndef TG_HANDLERS_HELLO_H
#define TG_HANDLERS_HELLO_H

#include "handlers/worker.h"
#include "util/buf.h"

/* The members of a `hello`, without braces. `device`: empty: none. */
void tg_hello_put(struct tg_buf *out, const struct tg_handler_opts *o, tg_str device,
                  const struct tg_stream_start *start);
/* The members of one topic's verdict, without braces. */
void tg_hello_put_topic(struct tg_buf *out, const struct tg_stream_topic *t);

/* The members of a `revoked`, without braces: the topic does not work any more, and why. */
void tg_hello_put_revoked(struct tg_buf *out, tg_str topic, enum tg_rc rc, tg_str message);

/* Fields of the answer's head, each "Name: value\r\n": the request's id, the verdict, a device that
 * has just been issued. */
struct tg_admission;
void tg_hello_put_fields(struct tg_buf *out, const struct tg_admission *a,
                         const struct tg_stream_start *start);
void tg_hello_put_field(struct tg_buf *out, tg_str name, tg_str value);

#endif
