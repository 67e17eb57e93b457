/* SPDX-License-Identifier: Apache-2.0 */
/* Files of older systems: no crash, and what is written can be read again as one tree. The first
 * byte chooses the system and the options. */
#include <hd/experiment.h>

#include "import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hd_value *document = NULL, *again = NULL;
    struct import import = {0};
    struct hd_buf out;
    struct hd_err err;
    bool yaml = size > 0 && (data[0] & 1) != 0;
    const struct import_options options = {.file = "old",
                                           .image = "demo",
                                           .command = size > 0 && (data[0] & 2) != 0 ? "./t" : NULL,
                                           .optimize = size > 0 && (data[0] & 4) != 0};
    if (size == 0 ||
        hd_yaml_parse_tagged((const char *)data + 1, size - 1, "old", &hd_value_limits_file,
                             yaml ? IMPORT_TUPLE : NULL, &document, &err) != HD_OK)
        return 0;
    hd_buf_init(&out, 8 << 20);
    enum hd_code code = yaml ? import_mlframework(document, &options, &import, &err)
                             : import_hyperdock(document, &options, &import, &err);
    hd_assert(code == HD_OK || err.text[0] != '\0');
    if (code == HD_OK && import_write(&import, &out, &err) == HD_OK && out.size < 100000) {
        hd_assert(hd_yaml_parse(hd_buf_text(&out), out.size, "made", &hd_value_limits_file, &again,
                                &err) == HD_OK);
        hd_value_free(again);
    }
    import_release(&import);
    hd_buf_release(&out);
    hd_value_free(document);
    return 0;
}
