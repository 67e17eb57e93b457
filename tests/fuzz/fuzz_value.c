/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes are read as JSON and as YAML within limits; what was read is written, read back, and
 * must be the same tree with the same canonical text. */
#include <hd/value.h>

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct hd_value_limits limits = {
    .bytes_max = 1 << 16, .nodes_max = 5000, .depth_max = 40};
/* Escapes and ".0" make the written text longer than the one read. */
static const struct hd_value_limits limits_back = {
    .bytes_max = 1 << 20, .nodes_max = 5000, .depth_max = 40};

static void check_back(const struct hd_value *value, enum hd_json_style style)
{
    struct hd_buf text, again;
    struct hd_err err;
    struct hd_value *back = NULL;
    hd_buf_init(&text, (size_t)1 << 20);
    hd_buf_init(&again, (size_t)1 << 20);
    hd_assert(hd_json_write(value, style, &text, &err) == HD_OK);
    hd_assert(hd_json_parse(hd_buf_text(&text), text.size, "back", &limits_back, &back, &err) ==
              HD_OK);
    hd_assert(hd_value_equal(value, back));
    hd_assert(hd_json_write(back, style, &again, &err) == HD_OK);
    hd_assert(hd_streq(hd_buf_text(&text), hd_buf_text(&again)));
    hd_value_free(back);
    hd_buf_release(&text);
    hd_buf_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hd_err err;
    struct hd_value *value = NULL;
    if (hd_json_parse((const char *)data, size, "fuzz", &limits, &value, &err) == HD_OK) {
        check_back(value, HD_JSON_COMPACT);
        check_back(value, HD_JSON_CANONICAL);
        hd_value_free(value);
        value = NULL;
        hd_assert(hd_yaml_parse((const char *)data, size, "fuzz", &limits, &value, &err) == HD_OK ||
                  value == NULL);
        hd_value_free(value);
        value = NULL;
    }
    if (hd_yaml_parse((const char *)data, size, "fuzz", &limits, &value, &err) == HD_OK)
        check_back(value, HD_JSON_COMPACT);
    hd_value_free(value);
    return 0;
}
