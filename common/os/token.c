/* SPDX-License-Identifier: Apache-2.0 */
/* token.c: the shared secret of a user's programs. */
#include "os_internal.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The first token of the file: what its owner says to others. */
static enum hd_code read_token(const char *path, char *ret_token, struct hd_err *err)
{
    struct hd_key *keys = hd_calloc(HD_KEYS_MAX, sizeof(*keys));
    size_t count;
    if (keys == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory to read %s", path);
    enum hd_code code = hd_keys_read(path, keys, &count, err);
    if (code == HD_OK)
        (void)hd_copy_text(ret_token, HD_OS_TOKEN_SIZE, keys[0].token);
    explicit_bzero(keys, HD_KEYS_MAX * sizeof(*keys));
    hd_free(keys);
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
    char text[HD_OS_TOKEN_SIZE + 1];
    hd_token_make(text);
    (void)hd_copy_text(text + strlen(text), 2, "\n");
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

static enum hd_code users_file(const char *name, char *ret_path, size_t path_size,
                               struct hd_err *err)
{
    const char *config = getenv("XDG_CONFIG_HOME");
    bool fits;
    if (config != NULL && config[0] == '/') {
        fits = hd_format(ret_path, path_size, "%s/hyperdock/%s", config, name);
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
        fits = hd_format(ret_path, path_size, "%s/.config/hyperdock/%s", home, name);
    }
    return fits ? HD_OK : hd_fail(err, HD_E_LIMIT, "the path of the user's files is too long");
}

enum hd_code hd_users_file(const char *name, char **ret_path, struct hd_err *err)
{
    char path[4096 - 64];
    enum hd_code code = users_file(name, path, sizeof(path), err);
    if (code != HD_OK)
        return code;
    *ret_path = hd_strdup(path);
    return *ret_path != NULL ? HD_OK : hd_fail(err, HD_E_NOMEM, "no memory for a path");
}

/* *ret_is_own: nobody named a file, so it is the user's, which may not be there yet. */
static enum hd_code find_file(const char *path, char **ret_path, bool *ret_is_own,
                              struct hd_err *err)
{
    char own[4096 - 64];
    if (path == NULL || path[0] == '\0')
        path = getenv("HYPERDOCK_TOKEN_FILE");
    *ret_is_own = path == NULL || path[0] == '\0';
    if (*ret_is_own) {
        enum hd_code code = users_file("token", own, sizeof(own), err);
        if (code != HD_OK)
            return code;
        path = own;
    }
    char *copy = hd_strdup(path);
    if (copy == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a path");
    *ret_path = copy;
    return HD_OK;
}

enum hd_code hd_token_find(const char *path, char **ret_path, struct hd_err *err)
{
    bool is_own;
    return find_file(path, ret_path, &is_own, err);
}

enum hd_code hd_token_load(const char *path, char *ret_token, char **ret_path, struct hd_err *err)
{
    char token[HD_OS_TOKEN_SIZE], *found = NULL;
    bool is_own = false;
    enum hd_code code = find_file(path, &found, &is_own, err);
    if (code == HD_OK && is_own && !hd_path_exists(found))
        code = make_token(found, err);
    if (code == HD_OK)
        code = read_token(found, token, err);
    if (code == HD_OK) {
        (void)hd_copy_text(ret_token, HD_OS_TOKEN_SIZE, token);
        explicit_bzero(token, sizeof(token));
    }
    if (code == HD_OK && ret_path != NULL)
        *ret_path = found;
    else
        hd_free(found);
    return code;
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
