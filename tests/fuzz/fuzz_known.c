/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Results from elsewhere: whatever stands in a file of rows, in HpBandSter's two files or in a text
 * that claims to be a taker's, what is taken of it is a text that is read back with as many
 * results. The first byte says which; HpBandSter's files are parted by a zero byte.
 */
#include <stdint.h>
#include <string.h>

#include <hd/known.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const char experiment_text[] =
    "{\"name\":\"e\",\"target\":{\"command\":[\"./t\"]},\"budget\":{\"min\":1,\"max\":9},"
    "\"objective\":{\"name\":\"loss\"},\"space\":{"
    "\"x\":{\"type\":\"float\",\"low\":0,\"high\":1},"
    "\"k\":{\"type\":\"categorical\",\"choices\":[\"a\",\"b\",2,true],\"default\":\"a\"},"
    "\"n\":{\"type\":\"int\",\"low\":1,\"high\":9,\"when\":{\"k\":\"b\"}}}}";

static void finish(struct hd_known_taker *taker, const struct hd_experiment *experiment)
{
    struct hd_buf text;
    struct hd_err err;
    struct hd_known *known = NULL;
    char report[HD_KNOWN_REPORT_MAX];
    hd_buf_init(&text, HD_KNOWN_BYTES_MAX);
    if (hd_known_taker_finish(taker, &text, report, &err) == HD_OK) {
        hd_assert(hd_known_parse(hd_buf_text(&text), experiment, &known, &err) == HD_OK);
        hd_assert(known->result_count >= known->config_count && known->config_count > 0);
        hd_known_free(known);
    }
    hd_buf_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct hd_err err;
    struct hd_experiment *experiment = NULL;
    struct hd_known_taker *taker = NULL;
    if (size == 0)
        return 0;
    const char *text = (const char *)bytes + 1;
    size_t left = size - 1;
    hd_assert(hd_experiment_parse_text(experiment_text, sizeof(experiment_text) - 1, "fuzz", NULL,
                                       &experiment, &err) == HD_OK);
    hd_assert(hd_known_taker_new(experiment, &taker, &err) == HD_OK);
    if (bytes[0] == 't') {
        char *copy = hd_malloc(left + 1);
        struct hd_known *known = NULL;
        memcpy(copy, text, left);
        copy[left] = '\0';
        if (hd_known_parse(copy, experiment, &known, &err) == HD_OK && known != NULL)
            hd_assert(known->result_count >= known->config_count && known->config_count > 0);
        hd_known_free(known);
        hd_free(copy);
    } else if (bytes[0] == 'h') {
        const char *zero = memchr(text, '\0', left);
        size_t first = zero != NULL ? (size_t)(zero - text) : left;
        size_t second = zero != NULL ? left - first - 1 : 0;
        if (hd_known_take_hpbandster(taker, text, first, text + left - second, second, &err) ==
            HD_OK)
            finish(taker, experiment);
    } else if (hd_known_take_text(taker, text, left, "fuzz", &err) == HD_OK) {
        finish(taker, experiment);
    }
    hd_known_taker_free(taker);
    hd_experiment_free(experiment);
    return 0;
}
