/* SPDX-License-Identifier: Apache-2.0 */
/* token.c: the shared secret of a user's programs. */
#include "os_internal.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOKEN_RANDOM_BYTES 32
#define TOKEN_LENGTH_MIN 16

static enum hd_code check_mode(int fd, const char *path, struct hd_err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return hd_fail_errno(err, errno, "cannot look at the token file %s", path);
    if (!S_ISREG(st.st_mode))
        return hd_fail(err, HD_E_INVALID, "the token file %s is not a regular file", path);
    if ((st.st_mode & 077) != 0)
        return hd_fail(err, HD_E_AUTH,
                       "others may read the token file %s (mode %03o): run `chmod 600 %s`", path,
                       (unsigned)(st.st_mode & 0777), path);
    return HD_OK;
}

static enum hd_code check_text(char *text, const char *path, struct hd_err *err)
{
    size_t size = strlen(text);
    while (size > 0 && isspace((unsigned char)text[size - 1]))
        text[--size] = '\0';
    bool good = size >= TOKEN_LENGTH_MIN && size < HD_OS_TOKEN_SIZE;
    for (size_t i = 0; i < size; i++)
        good = good && text[i] > ' ' && text[i] < 127;
    if (!good)
        return hd_fail(err, HD_E_INVALID,
                       "the token file %s must hold one line of %d to %d printable characters "
                       "without spaces",
                       path, TOKEN_LENGTH_MIN, HD_OS_TOKEN_SIZE - 1);
    return HD_OK;
}

static enum hd_code read_token(const char *path, char *ret_token, struct hd_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return hd_fail_errno(err, errno, "cannot open the token file %s", path);
    enum hd_code code = check_mode(fd, path, err);
    char text[HD_OS_TOKEN_SIZE + 64];
    size_t size = 0;
    while (code == HD_OK && size < sizeof(text) - 1) {
        ssize_t got = read(fd, text + size, sizeof(text) - 1 - size);
        if (got < 0 && errno != EINTR)
            code = hd_fail_errno(err, errno, "cannot read the token file %s", path);
        if (got == 0)
            break;
        size += got > 0 ? (size_t)got : 0;
    }
    close(fd);
    if (code != HD_OK)
        return code;
    text[size] = '\0';
    code = check_text(text, path, err);
    if (code == HD_OK)
        (void)hd_copy_text(ret_token, HD_OS_TOKEN_SIZE, text);
    return code;
}

/* Two programs may start at the same time: the file appears whole, and the first one wins. */
static enum hd_code make_token(const char *path, struct hd_err *err)
{
    char *directory = hd_path_directory(path);
    if (directory == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory to make a token");
    enum hd_code code = hd_mkdirs(directory, 0700, err);
    hd_free(directory);
    if (code != HD_OK)
        return code;
    unsigned char random[TOKEN_RANDOM_BYTES];
    hd_os_random(random, sizeof(random));
    char text[2 * TOKEN_RANDOM_BYTES + 2];
    for (size_t i = 0; i < sizeof(random); i++)
        (void)hd_format(text + 2 * i, 3, "%02x", random[i]);
    (void)hd_copy_text(text + 2 * sizeof(random), 2, "\n");
    char temporary[4096];
    if (!hd_format(temporary, sizeof(temporary), "%s.%016llx.tmp", path,
                   (unsigned long long)hd_os_random_u64()))
        return hd_fail(err, HD_E_LIMIT, "the path of the token file is too long: %s", path);
    code = hd_file_write_atomic(temporary, text, strlen(text), 0600, err);
    if (code != HD_OK)
        return code;
    if (link(temporary, path) != 0 && errno != EEXIST)
        code = hd_fail_errno(err, errno, "cannot make the token file %s", path);
    unlink(temporary);
    return code;
}

static enum hd_code users_file(char *ret_path, size_t path_size, struct hd_err *err)
{
    const char *config = getenv("XDG_CONFIG_HOME");
    bool fits;
    if (config != NULL && config[0] == '/') {
        fits = hd_format(ret_path, path_size, "%s/hyperdock/token", config);
    } else {
        const char *home = getenv("HOME");
        struct passwd entry, *found = NULL;
        char strings[4096];
        if (home == NULL || home[0] != '/')
            home = getpwuid_r(geteuid(), &entry, strings, sizeof(strings), &found) == 0 &&
                           found != NULL
                       ? entry.pw_dir
                       : NULL;
        if (home == NULL)
            return hd_fail(err, HD_E_NOTFOUND,
                           "no home directory to keep a token in: set HYPERDOCK_TOKEN_FILE");
        fits = hd_format(ret_path, path_size, "%s/.config/hyperdock/token", home);
    }
    return fits ? HD_OK : hd_fail(err, HD_E_LIMIT, "the path of the token file is too long");
}

enum hd_code hd_token_load(const char *path, char *ret_token, char **ret_path, struct hd_err *err)
{
    char own[4096 - 64];
    if (path == NULL || path[0] == '\0')
        path = getenv("HYPERDOCK_TOKEN_FILE");
    if (path == NULL || path[0] == '\0') {
        enum hd_code code = users_file(own, sizeof(own), err);
        if (code == HD_OK && !hd_path_exists(own))
            code = make_token(own, err);
        if (code != HD_OK)
            return code;
        path = own;
    }
    char token[HD_OS_TOKEN_SIZE];
    enum hd_code code = read_token(path, token, err);
    if (code != HD_OK)
        return code;
    if (ret_path != NULL && (*ret_path = hd_strdup(path)) == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a path");
    (void)hd_copy_text(ret_token, HD_OS_TOKEN_SIZE, token);
    return HD_OK;
}

bool hd_token_equal(const char *a, const char *b)
{
    if (a == NULL || b == NULL)
        return false;
    /* The same number of steps whatever the texts are: time tells nothing about the secret. */
    char padded_a[HD_OS_TOKEN_SIZE] = {0}, padded_b[HD_OS_TOKEN_SIZE] = {0};
    size_t size_a = strnlen(a, HD_OS_TOKEN_SIZE), size_b = strnlen(b, HD_OS_TOKEN_SIZE);
    if (size_a >= HD_OS_TOKEN_SIZE || size_b >= HD_OS_TOKEN_SIZE || size_a == 0 || size_b == 0)
        return false;
    memcpy(padded_a, a, size_a);
    memcpy(padded_b, b, size_b);
    volatile unsigned char difference = 0;
    for (size_t i = 0; i < HD_OS_TOKEN_SIZE; i++)
        difference = (unsigned char)(difference | (padded_a[i] ^ padded_b[i]));
    return difference == 0;
}
