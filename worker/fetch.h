/* SPDX-License-Identifier: Apache-2.0 */
/* fetch.h: images and code that a master hands over, piece by piece over the ordinary protocol,
 * into a file that an interrupted transfer goes on with. Its calls have connections of their own.
 */
#ifndef HD_FETCH_H
#define HD_FETCH_H

#include <hd/code.h>
#include <hd/image.h>
#include <hd/net.h>
#include <hd/value.h>

struct hd_fetch;
/* security is borrowed. */
HD_NODISCARD enum hd_code hd_fetch_new(const struct hd_net_security *security,
                                       struct hd_fetch **ret_fetch, struct hd_err *err);
void hd_fetch_free(struct hd_fetch *fetch); /* nobody fetches any more */
void hd_fetch_set_token(struct hd_fetch *fetch, const char *token);
#define HD_FETCH_CALL_MS 30000
/* Asks a master's view with the same token: its answer, parsed. hd_value_free() it. From any
 * thread; blocks for timeout_ms at most. */
HD_NODISCARD enum hd_code hd_fetch_view(struct hd_fetch *fetch, const char *address,
                                        const char *run_id, const char *view, const char *view_json,
                                        int64_t timeout_ms, struct hd_value **ret_answer,
                                        struct hd_err *err);
/* Lives as long as the fetch does. */
const struct hd_image_source *hd_fetch_source(const struct hd_fetch *fetch);
/* The archive of code into the file `path`, as an image is fetched. Nobody has looked whether it is
 * what the hash says. */
HD_NODISCARD enum hd_code hd_fetch_code(struct hd_fetch *fetch, const char *address,
                                        const char *run_id, const char *hash, const char *path,
                                        bool (*interrupted)(void *watch),
                                        void (*tell)(void *watch, int percent), void *watch,
                                        struct hd_err *err);

#endif
