/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes are lines to a fresh session of hd ask-tell in memory. Each answer is one JSON object
 * on one line, and looking afterwards still works. */
#include <hd/value.h>

#include <string.h>

#include "ask_tell.h"

#define LINES_MAX 64 /* a line can cost a proposal */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct hyperdock_session *session_of_two_params(void)
{
    static const char text[] = "space:\n"
                               "  x: {type: float, low: 0, high: 1}\n"
                               "  k: {type: categorical, choices: [a, 2, true]}\n"
                               "objective: {name: loss, direction: maximize}\n"
                               "sampler: {name: random}\n"
                               "iteration_generator: {name: hyperband, eta: 3}\n"
                               "budget: {min: 1, max: 9}\n"
                               "stop: {iterations: 3}\n"
                               "seed: 1\n";
    struct hyperdock_experiment *experiment = NULL;
    struct hyperdock_session *session = NULL;
    hd_assert(hyperdock_experiment_new(&experiment) == HYPERDOCK_OK);
    hd_assert(hyperdock_experiment_parse(experiment, text, strlen(text)) == HYPERDOCK_OK);
    hd_assert(hyperdock_open(experiment, NULL, &session) == HYPERDOCK_OK);
    hyperdock_experiment_free(experiment);
    return session;
}

static void say(struct hyperdock_session *session, const char *text, size_t size)
{
    struct hd_buf out;
    struct hd_err err;
    struct hd_value *answer = NULL;
    hd_buf_init(&out, ASK_TELL_ANSWER_BYTES_MAX);
    hd_assert(ask_tell_line(session, text, size, &out, &err) == HYPERDOCK_OK);
    hd_assert(memchr(hd_buf_text(&out), '\n', out.size) == NULL);
    hd_assert(hd_json_parse(hd_buf_text(&out), out.size, "answer", &hd_value_limits_file, &answer,
                            &err) == HD_OK);
    hd_assert(answer->kind == HD_VALUE_OBJECT && answer->as.object.count > 0);
    hd_value_free(answer);
    hd_buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const looks[] = {"{\"op\":\"pending\"}", "{\"op\":\"best\"}",
                                        "{\"op\":\"ask\"}"};
    struct hyperdock_session *session = session_of_two_params();
    const char *text = (const char *)data;
    for (int line = 0; line < LINES_MAX && size > 0; line++) {
        const char *end = memchr(text, '\n', size);
        size_t length = end != NULL ? (size_t)(end - text) : size;
        if (length > 0 && length <= ASK_TELL_LINE_BYTES_MAX)
            say(session, text, length);
        size_t used = end != NULL ? length + 1 : length;
        text += used;
        size -= used;
    }
    for (size_t i = 0; i < HD_COUNT(looks); i++)
        say(session, looks[i], strlen(looks[i]));
    hyperdock_close(session);
    return 0;
}
