/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever stands in a file of channels: no crash, and what was read can be sent to. */
#include <hd/notice.h>

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char json[] = "{\"id\":\"x\"}";
    struct hd_notice_settings *settings = NULL;
    struct hd_err err = {0};
    if (hd_notice_parse((const char *)data, size, "notify.yaml", &settings, &err) != HD_OK) {
        hd_assert(err.text[0] != '\0');
        return 0;
    }
    const struct hd_notice notice = {
        .event = HD_NOTIFY_FAILED, .id = "x", .title = "\r\nx: y", .text = "a\n.\n", .data = json};
    for (size_t i = 0; i < settings->channel_count; i++) {
        struct hd_notice_message message;
        if (hd_notice_compose(&settings->channels[i], &notice, i, 0, &message, &err) != HD_OK)
            continue;
        for (size_t k = 0; k < message.header_count; k++)
            hd_assert(strpbrk(message.headers[k], "\r\n") == NULL);
        hd_assert(strlen(message.body) == message.body_size);
        hd_notice_message_release(&message);
    }
    hd_notice_settings_free(settings);
    return 0;
}
