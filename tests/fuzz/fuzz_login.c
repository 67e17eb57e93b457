/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever the client's file or a credential helper holds: no crash, bounded and terminated
 * results; a login that is found can be sent. */
#include "registry.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void send(const struct hd_registry_login *login)
{
    struct hd_buf out;
    struct hd_err err;
    hd_buf_init(&out, HD_REGISTRY_HEADER_BYTES_MAX);
    if (hd_registry_header(login, &out, &err) == HD_OK)
        hd_assert(out.size % 4 == 0 && out.size > 0);
    hd_buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hd_registry_login login = {.helper = "h", .server = "r"};
    struct hd_err err;
    struct hd_buf plain;
    const char *text = (const char *)data;
    if (hd_registry_find(text, size, "r:5000", &login, &err) == HD_OK) {
        hd_assert(strchr(login.helper, '/') == NULL);
        send(&login);
    }
    login = (struct hd_registry_login){.helper = "h", .server = "r"};
    if (hd_registry_parse_helper(text, size, &login, &err) == HD_OK)
        send(&login);
    hd_buf_init(&plain, size + 16);
    if (hd_base64_decode(text, size, &plain, &err) == HD_OK)
        hd_assert(plain.size <= size);
    hd_buf_release(&plain);
    return 0;
}
