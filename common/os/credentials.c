/* SPDX-License-Identifier: Apache-2.0 */
/* credentials.c: the file on a shared file system that tells a worker where the nameserver is. */
#include "net_internal.h"

#include <errno.h>
#include <hd/value.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CREDENTIALS_VERSION 1
#define CREDENTIALS_BYTES_MAX 16384

static enum hd_code make_path(const char *directory, const char *run_id, char **ret_path,
                              struct hd_err *err)
{
    enum hd_code code = hd_check_id("the run id", run_id, err);
    if (code != HD_OK)
        return code;
    char name[HD_ID_MAX + 32];
    hd_format(name, sizeof(name), "hyperdock-%s.json", run_id);
    char *path = hd_path_join(directory, name);
    if (path == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a path");
    *ret_path = path;
    return HD_OK;
}

static enum hd_code make_text(const char *run_id, const char *nameserver, const char *token,
                              struct hd_buf *out, struct hd_err *err)
{
    struct hd_value *object = hd_value_new_object();
    if (object == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for credentials");
    enum hd_code code = hd_value_set(object, "version", hd_value_new_int(CREDENTIALS_VERSION));
    if (code == HD_OK)
        code = hd_value_set(object, "run_id", hd_value_new_string(run_id));
    if (code == HD_OK)
        code = hd_value_set(object, "nameserver", hd_value_new_string(nameserver));
    if (code == HD_OK)
        code = hd_value_set(object, "token", hd_value_new_string(token));
    if (code != HD_OK)
        (void)hd_fail(err, code, "no memory for credentials");
    else
        code = hd_json_write(object, HD_JSON_PRETTY, out, err);
    hd_value_free(object);
    return code == HD_OK ? hd_buf_puts(out, "\n", err) : code;
}

enum hd_code hd_credentials_write(const char *directory, const char *run_id, const char *nameserver,
                                  const char *token, struct hd_err *err)
{
    char *path = NULL;
    enum hd_code code = make_path(directory, run_id, &path, err);
    if (code != HD_OK)
        return code;
    struct hd_buf text;
    hd_buf_init(&text, CREDENTIALS_BYTES_MAX);
    code = make_text(run_id, nameserver, token, &text, err);
    if (code == HD_OK)
        code = hd_file_write_atomic(path, text.data, text.size, 0600, err);
    hd_buf_release(&text);
    hd_free(path);
    return code;
}

static const char *text_at(const struct hd_value *object, const char *key)
{
    const struct hd_value *value = hd_value_get(object, key);
    return value != NULL && value->kind == HD_VALUE_STRING ? value->as.string : NULL;
}

static enum hd_code check_content(const char *path, const struct hd_value *object,
                                  const char *run_id, struct hd_err *err)
{
    const struct hd_value *version = hd_value_get(object, "version");
    if (version == NULL || hd_value_number(version) != CREDENTIALS_VERSION)
        return hd_fail(err, HD_E_VERSION, "%s is not a credentials file of version %d", path,
                       CREDENTIALS_VERSION);
    const char *own = text_at(object, "run_id");
    if (own == NULL || !hd_streq(own, run_id))
        return hd_fail(err, HD_E_INVALID, "%s: run_id: \"%s\" expected", path, run_id);
    if (text_at(object, "nameserver") == NULL || text_at(object, "token") == NULL)
        return hd_fail(err, HD_E_INVALID, "%s: nameserver and token expected", path);
    return HD_OK;
}

static enum hd_code read_once(const char *path, const char *run_id, char *ret_nameserver,
                              size_t nameserver_size, char *ret_token, struct hd_err *err)
{
    struct hd_buf text;
    hd_buf_init(&text, CREDENTIALS_BYTES_MAX + 1);
    struct hd_value *object = NULL;
    enum hd_code code = hd_file_read(path, CREDENTIALS_BYTES_MAX, false, &text, err);
    if (code == HD_OK)
        code = hd_json_parse(hd_buf_text(&text), text.size, path, &hd_value_limits_target, &object,
                             err);
    if (code == HD_OK)
        code = check_content(path, object, run_id, err);
    if (code == HD_OK) {
        const char *nameserver = text_at(object, "nameserver"), *token = text_at(object, "token");
        if (strlen(nameserver) >= nameserver_size || strlen(token) >= HD_OS_TOKEN_SIZE) {
            code = hd_fail(err, HD_E_LIMIT, "%s: a text is too long", path);
        } else {
            (void)hd_copy_text(ret_nameserver, nameserver_size, nameserver);
            (void)hd_copy_text(ret_token, HD_OS_TOKEN_SIZE, token);
        }
    }
    hd_value_free(object);
    hd_buf_release(&text);
    return code;
}

enum hd_code hd_credentials_read(const char *directory, const char *run_id, int tries,
                                 int64_t interval_ms, char *ret_nameserver, size_t nameserver_size,
                                 char *ret_token, struct hd_err *err)
{
    char *path = NULL;
    struct hd_err own;
    enum hd_code code = make_path(directory, run_id, &path, err);
    if (code != HD_OK)
        return code;
    for (int attempt = 1;; attempt++) {
        code = read_once(path, run_id, ret_nameserver, nameserver_size, ret_token, &own);
        if (code != HD_E_NOTFOUND || attempt >= tries)
            break;
        struct timespec pause = {.tv_sec = (time_t)(interval_ms / 1000),
                                 .tv_nsec = (long)(interval_ms % 1000) * 1000000};
        (void)nanosleep(&pause, NULL); /* the file appears on a file system that tells nobody */
    }
    if (code == HD_E_NOTFOUND && tries > 1)
        (void)hd_fail(err, code,
                      "%s did not appear within %d tries: is the nameserver started with "
                      "--credentials-dir %s?",
                      path, tries, directory);
    else if (code != HD_OK)
        (void)hd_fail(err, code, "%s", own.text);
    hd_free(path);
    return code;
}

enum hd_code hd_credentials_remove(const char *directory, const char *run_id, struct hd_err *err)
{
    char *path = NULL;
    enum hd_code code = make_path(directory, run_id, &path, err);
    if (code != HD_OK)
        return code;
    if (unlink(path) != 0 && errno != ENOENT)
        code = hd_fail(err, HD_E_IO, "cannot remove %s", path);
    hd_free(path);
    return code;
}
