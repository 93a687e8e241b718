/* client.h - what a WebSocket client says, and what the parser makes of it at any cut. */
#ifndef TG_TESTS_UNIT_WS_CLIENT_H
#define TG_TESTS_UNIT_WS_CLIENT_H

#include "util/buf.h"
#include "ws/parser.h"

enum { FIN = 0x80, MAX_MESSAGE = 1 << 20 };

/* Appends a masked frame; `first` is its first byte as it is. */
void say(struct tg_buf *out, unsigned first, tg_str payload);
/* The same with a header whose length is written as `n` in `width` (0, 2 or 8) more bytes. */
void say_header(struct tg_buf *out, unsigned first, uint64_t n, unsigned width);
void say_close(struct tg_buf *out, unsigned code, tg_str reason);
/* A text in frames of at most `n` bytes. */
void say_fragments(struct tg_buf *out, unsigned opcode, tg_str text, size_t n);

/* The bytes at once, one by one, and at random cuts give `expected`:
 *   T(hello) B(..) P(ping) O(pong) C1000(reason), and at the end ! and the code of a failure, or a
 *   dot where more of a message or frame is awaited. Long payloads stand as #<bytes>.
 * Empties `said`. */
void hears_with(struct tg_buf *said, const char *expected, uint32_t max_bytes, bool is_text_only,
                const char *file, int line);
#define hears(said, expected) hears_with(said, expected, MAX_MESSAGE, false, __FILE__, __LINE__)

#endif
