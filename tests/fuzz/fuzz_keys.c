/* SPDX-License-Identifier: Apache-2.0 */
/* Token files: whatever stands in one, it is read within limits and written back as it was read. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <hd/os.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static bool read_from(int fd, struct hd_key *keys, size_t *count)
{
    char path[64];
    struct hd_err err;
    (void)hd_format(path, sizeof(path), "/proc/self/fd/%d", fd);
    return hd_keys_read(path, keys, count, &err) == HD_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct hd_key keys[HD_KEYS_MAX];
    size_t count = 0;
    int fd = memfd_create("keys", MFD_CLOEXEC);
    hd_assert(fd >= 0 && fchmod(fd, 0600) == 0);
    bool written = size == 0 || write(fd, bytes, size) == (ssize_t)size;
    if (written && read_from(fd, keys, &count)) {
        hd_assert(count > 0 && count <= HD_KEYS_MAX);
        for (size_t i = 0; i < count; i++) {
            unsigned roles = 0;
            hd_assert(keys[i].until_wall_s >= 0 && strlen(keys[i].token) >= 16);
            hd_assert(hd_role_parse(hd_role_name(keys[i].roles), &roles));
            hd_assert(roles == keys[i].roles);
            hd_assert(hd_token_equal(keys[i].token, keys[i].token));
        }
    }
    close(fd);
    return 0;
}
