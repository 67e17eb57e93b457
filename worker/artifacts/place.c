/* SPDX-License-Identifier: Apache-2.0 */
/* Where artifacts go: URLs and names. Pure. */
#include "answer.h"

#include <hd/artifacts.h>

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

bool hd_artifacts_are_off(const char *environment)
{
    static const char *const words[] = {"0", "-1", "off", "no", "false"};
    for (size_t i = 0; environment != NULL && i < HD_COUNT(words); i++)
        if (strcasecmp(environment, words[i]) == 0)
            return true;
    return false;
}

/* 3 to 63 of lower-case letters, digits, '.', '-'; '_' and capitals are of old buckets. */
static bool is_bucket(const char *text, size_t size)
{
    if (size < 3 || size > 63)
        return false;
    for (size_t i = 0; i < size; i++)
        if (!isalnum((unsigned char)text[i]) && strchr("._-", text[i]) == NULL)
            return false;
    return isalnum((unsigned char)text[0]) != 0;
}

static bool is_plain(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return false;
    return true;
}

static bool has_odd_component(const char *path)
{
    for (const char *at = path; *at != '\0';) {
        size_t size = strcspn(at, "/");
        if (size == 0 || (size == 1 && at[0] == '.') || (size == 2 && strncmp(at, "..", 2) == 0))
            return true;
        at += size;
        at += *at == '/';
    }
    return false;
}

bool hd_artifact_path_is_inner(const char *path)
{
    size_t size = strlen(path);
    return size > 0 && size < HD_ARTIFACT_PATH_MAX && path[size - 1] != '/' &&
           !has_odd_component(path);
}

static void trim_slashes(char *path)
{
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/')
        path[--size] = '\0';
}

static enum hd_code parse_s3(const char *rest, struct hd_artifact_place *place, struct hd_err *err)
{
    size_t size = strcspn(rest, "/");
    if (!is_bucket(rest, size))
        return hd_fail(err, HD_E_INVALID, "%s: no bucket in it; write s3://BUCKET/PREFIX",
                       place->url);
    place->s3 = true;
    (void)hd_copy_text(place->bucket, size + 1, rest);
    const char *prefix = rest[size] == '/' ? rest + size + 1 : "";
    (void)hd_copy_text(place->path, sizeof(place->path), prefix);
    trim_slashes(place->path);
    if (hd_streq(place->path, "/") || has_odd_component(place->path))
        return hd_fail(err, HD_E_INVALID,
                       "%s: the prefix has an empty component, or one that is . or ..", place->url);
    return HD_OK;
}

enum hd_code hd_artifact_place_parse(const char *url, struct hd_artifact_place *ret_place,
                                     struct hd_err *err)
{
    struct hd_artifact_place place = {0};
    const char *scheme = strstr(url, "://");
    if (url[0] == '\0' || !is_plain(url) || !hd_copy_text(place.url, sizeof(place.url), url))
        return hd_fail(err, HD_E_INVALID,
                       "give s3://BUCKET/PREFIX or a directory, at most %d bytes",
                       HD_ARTIFACT_URL_MAX - 1);
    if (scheme != NULL && strchr(scheme, '@') != NULL)
        return hd_fail(err, HD_E_INVALID,
                       "no user or password belongs in a place for artifacts: give "
                       "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY");
    enum hd_code code = HD_OK;
    if (strncasecmp(url, "s3://", 5) == 0)
        code = parse_s3(url + 5, &place, err);
    else if (strncasecmp(url, "file:///", 8) == 0)
        (void)hd_copy_text(place.path, sizeof(place.path), url + 7);
    else if (scheme != NULL)
        code =
            hd_fail(err, HD_E_UNSUPPORTED,
                    "%s: only s3://BUCKET/PREFIX and directories are known; another S3-compatible "
                    "store is s3:// too, with its address in S3_ENDPOINT_URL",
                    url);
    else
        (void)hd_copy_text(place.path, sizeof(place.path), url);
    if (code != HD_OK)
        return code;
    trim_slashes(place.path);
    *ret_place = place;
    return HD_OK;
}

enum hd_code hd_artifact_base(const char *run_id, struct hd_attempt_ref attempt,
                              const char *config_id, char *ret_base, size_t size,
                              struct hd_err *err)
{
    return hd_format(ret_base, size, "%s.%016" PRIx64 "/%s/%" PRIu32 "-%" PRIu32, run_id,
                     attempt.run_uid, config_id, attempt.job, attempt.attempt)
               ? HD_OK
               : hd_fail(err, HD_E_LIMIT, "the name of the artifacts of run %s is too long",
                         run_id);
}
