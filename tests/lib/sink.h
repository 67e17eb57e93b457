/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink.h: a small HTTP or SMTP server on loopback that keeps what it is sent, for tests.
 *
 * It serves one connection after another from a thread of its own. Every function fails the test
 * when it cannot do its work; waiting ends after a minute at the latest.
 */
#ifndef HD_TEST_SINK_H
#define HD_TEST_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sink;

struct sink *sink_open_http(void);
struct sink *sink_open_smtp(void);
uint16_t sink_port(const struct sink *sink);
/* What the next message is answered with, then the one after it ...; without any, 200 and "ok"
 * (SMTP: 250). Status 0: the connection is closed without an answer; -1: it is held until the sink
 * ends.
 */
void sink_answer(struct sink *sink, int status, const char *body);
/* Until so many messages have come in all. */
void sink_wait(struct sink *sink, size_t count);
size_t sink_count(struct sink *sink);
/* HTTP: head, empty line and body. SMTP: the dialogue of the client. Lives until the sink ends. */
const char *sink_message(struct sink *sink, size_t index);
void sink_close(struct sink *sink); /* also of NULL */

#endif
