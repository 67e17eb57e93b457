/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials: from the environment, and over it from a file that only its owner reads. */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX 16384
#define LINE_BYTES_MAX 4352
#define REGION_DEFAULT "us-east-1"

/* Later names of one place count for less. */
struct setting {
    const char *name;
    size_t offset, size;
};
#define SETTING(name, member)                                                                      \
    {                                                                                              \
        name, offsetof(struct hd_artifact_access, member),                                         \
            sizeof(((struct hd_artifact_access *)NULL)->member)                                    \
    }
static const struct setting settings[] = {
    SETTING("S3_ENDPOINT_URL", endpoint),     SETTING("AWS_ENDPOINT_URL_S3", endpoint),
    SETTING("AWS_ENDPOINT_URL", endpoint),    SETTING("AWS_REGION", region),
    SETTING("AWS_DEFAULT_REGION", region),    SETTING("AWS_ACCESS_KEY_ID", key_id),
    SETTING("AWS_SECRET_ACCESS_KEY", secret), SETTING("AWS_SESSION_TOKEN", session),
    SETTING("AWS_CA_BUNDLE", ca_file),
};

static enum hd_code take(struct hd_artifact_access *access, const struct setting *setting,
                         const char *value, const char *from, struct hd_err *err)
{
    char *place = (char *)access + setting->offset;
    if (value == NULL || value[0] == '\0' || place[0] != '\0')
        return HD_OK;
    for (const char *at = value; *at != '\0'; at++)
        if ((unsigned char)*at <= 0x20 || (unsigned char)*at >= 0x7f)
            return hd_fail(err, HD_E_INVALID, "%s: %s holds a character that cannot be in it", from,
                           setting->name);
    return hd_copy_text(place, setting->size, value)
               ? HD_OK
               : hd_fail(err, HD_E_LIMIT, "%s: %s is longer than %zu bytes", from, setting->name,
                         setting->size - 1);
}

/* ---- the file ------------------------------------------------------------------------------- */

static enum hd_code read_private(const char *file, struct hd_buf *out, struct hd_err *err)
{
    struct stat st;
    if (stat(file, &st) == 0 && (st.st_mode & 077) != 0)
        return hd_fail(err, HD_E_AUTH, "%s holds credentials and others can read it: chmod 600 it",
                       file);
    return hd_file_read(file, FILE_BYTES_MAX, false, out, err);
}

/* "NAME=VALUE", "export NAME=VALUE", quotes around the value, "# comment", nothing. */
static enum hd_code take_line(struct hd_artifact_access *access, char *line, const char *name,
                              const char *file, struct hd_err *err)
{
    line += strspn(line, " \t");
    if (strncmp(line, "export ", 7) == 0)
        line += 7;
    size_t size = strlen(name);
    if (strncmp(line, name, size) != 0 || line[size] != '=')
        return HD_OK;
    char *value = line + size + 1;
    size_t end = strlen(value);
    while (end > 0 && strchr(" \t\r", value[end - 1]) != NULL)
        value[--end] = '\0';
    if (end >= 2 && (value[0] == '"' || value[0] == '\'') && value[end - 1] == value[0]) {
        value[end - 1] = '\0';
        value++;
    }
    for (size_t i = 0; i < HD_COUNT(settings); i++)
        if (hd_streq(settings[i].name, name))
            return take(access, &settings[i], value, file, err);
    return HD_OK;
}

static enum hd_code take_file(struct hd_artifact_access *access, struct hd_err *err)
{
    struct hd_buf buf;
    hd_buf_init(&buf, FILE_BYTES_MAX + 1);
    enum hd_code code = read_private(access->file, &buf, err);
    for (size_t i = 0; i < HD_COUNT(settings) && code == HD_OK; i++)
        for (const char *at = hd_buf_text(&buf); *at != '\0' && code == HD_OK;) {
            char line[LINE_BYTES_MAX];
            size_t size = strcspn(at, "\n");
            /* A line that is longer than any setting is none. */
            if (size < sizeof(line)) {
                (void)hd_copy_text(line, size + 1, at);
                code = take_line(access, line, settings[i].name, access->file, err);
                explicit_bzero(line, sizeof(line));
            }
            at += size + (at[size] == '\n');
        }
    if (buf.data != NULL)
        explicit_bzero(buf.data, buf.size);
    hd_buf_release(&buf);
    return code;
}

/* ---- all of it ------------------------------------------------------------------------------ */

static enum hd_code judge(struct hd_artifact_access *access, struct hd_err *err)
{
    if (access->key_id[0] == '\0' || access->secret[0] == '\0')
        return hd_fail(err, HD_E_NOTFOUND,
                       "no credentials for S3: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
                       "or give a file with them (--artifacts-credentials)");
    if (access->endpoint[0] != '\0' && strncmp(access->endpoint, "http://", 7) != 0 &&
        strncmp(access->endpoint, "https://", 8) != 0)
        return hd_fail(err, HD_E_INVALID, "S3_ENDPOINT_URL %s: must begin with https:// or http://",
                       access->endpoint);
    if (strchr(access->endpoint, '@') != NULL)
        return hd_fail(err, HD_E_INVALID, "S3_ENDPOINT_URL: no user or password belongs in it");
    for (size_t size = strlen(access->endpoint); size > 0 && access->endpoint[size - 1] == '/';)
        access->endpoint[--size] = '\0';
    if (access->region[0] == '\0')
        (void)hd_copy_text(access->region, sizeof(access->region), REGION_DEFAULT);
    return HD_OK;
}

/* `environment`: where what the file does not say comes from; NULL: this process's. */
static enum hd_code load(struct hd_artifact_access *access,
                         const struct hd_artifact_access *environment, struct hd_err *err)
{
    enum hd_code code = access->file[0] != '\0' ? take_file(access, err) : HD_OK;
    for (size_t i = 0; i < HD_COUNT(settings) && code == HD_OK; i++)
        code = take(access, &settings[i],
                    environment != NULL ? (const char *)environment + settings[i].offset
                                        : getenv(settings[i].name),
                    environment != NULL ? "credentials" : "the environment", err);
    return code == HD_OK ? judge(access, err) : code;
}

enum hd_code hd_artifact_access_load(const char *file, struct hd_artifact_access **ret_access,
                                     struct hd_err *err)
{
    struct hd_artifact_access *access = hd_calloc(1, sizeof(*access));
    if (access == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for credentials");
    enum hd_code code = HD_OK;
    if (file != NULL && !hd_copy_text(access->file, sizeof(access->file), file))
        code = hd_fail(err, HD_E_LIMIT, "the path %s is too long", file);
    if (code == HD_OK)
        code = load(access, NULL, err);
    if (code != HD_OK) {
        hd_artifact_access_free(access);
        return code;
    }
    *ret_access = access;
    return HD_OK;
}

enum hd_code hd_artifact_access_refresh(struct hd_artifact_access *access, struct hd_err *err)
{
    struct hd_artifact_access *fresh = NULL;
    if (access->file[0] == '\0')
        return HD_OK;
    fresh = hd_calloc(1, sizeof(*fresh));
    if (fresh == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for credentials");
    (void)hd_copy_text(fresh->file, sizeof(fresh->file), access->file);
    enum hd_code code = load(fresh, access, err);
    if (code == HD_OK)
        *access = *fresh;
    hd_artifact_access_free(fresh);
    return code;
}

void hd_artifact_access_free(struct hd_artifact_access *access)
{
    if (access != NULL)
        explicit_bzero(access, sizeof(*access));
    hd_free(access);
}

void hd_artifact_access_hide(void)
{
    static const char *const secrets[] = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
                                          "AWS_SESSION_TOKEN"};
    for (size_t i = 0; i < HD_COUNT(secrets); i++)
        (void)unsetenv(secrets[i]);
}
