/* SPDX-License-Identifier: Apache-2.0 */
/* ask_tell.h: the line protocol of hd ask-tell over a session of the library. */
#ifndef HD_CLI_ASK_TELL_H
#define HD_CLI_ASK_TELL_H

#include <hd/base.h>

#include <hyperdock.h>

#define ASK_TELL_LINE_BYTES_MAX (1024u * 1024u)
#define ASK_TELL_ANSWER_BYTES_MAX (64u * ASK_TELL_LINE_BYTES_MAX)

/* One line in, one JSON object out (without the end of the line). A bad line is answered with
 * {"error": ...} and is no failure; only what ends the session is: memory and the file. */
HD_NODISCARD enum hyperdock_code ask_tell_line(struct hyperdock_session *session, const char *text,
                                               size_t size, struct hd_buf *out, struct hd_err *err);

#endif
