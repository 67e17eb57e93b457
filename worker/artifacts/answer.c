/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"

#include <stdio.h>
#include <string.h>

/* ---- XML ------------------------------------------------------------------------------------ */

/* Where `word` begins; NULL: nowhere. */
static const char *find(const char *text, size_t size, const char *word)
{
    size_t length = strlen(word);
    for (size_t i = 0; i + length <= size; i++)
        if (memcmp(text + i, word, length) == 0)
            return text + i;
    return NULL;
}

/* One character of the text, of which `size` bytes are left; how many bytes it took. */
static size_t resolve(const char *text, size_t size, char *ret_character)
{
    static const struct {
        const char *entity;
        char character;
    } rows[] = {{"&amp;", '&'},   {"&lt;", '<'},  {"&gt;", '>'},  {"&quot;", '"'},
                {"&apos;", '\''}, {"&#34;", '"'}, {"&#39;", '\''}};
    for (size_t i = 0; text[0] == '&' && i < HD_COUNT(rows); i++) {
        size_t length = strlen(rows[i].entity);
        if (length <= size && memcmp(text, rows[i].entity, length) == 0) {
            *ret_character = rows[i].character;
            return length;
        }
    }
    *ret_character = text[0];
    return 1;
}

bool hd_s3_element(const char *xml, size_t size, const char *name, char *ret_text, size_t ret_size)
{
    char open[64], close[64];
    if (!hd_format(open, sizeof(open), "<%s>", name) ||
        !hd_format(close, sizeof(close), "</%s>", name))
        return false;
    const char *begin = find(xml, size, open);
    if (begin == NULL)
        return false;
    begin += strlen(open);
    const char *end = find(begin, size - (size_t)(begin - xml), close);
    if (end == NULL)
        return false;
    size_t used = 0;
    while (begin < end) {
        char character;
        begin += resolve(begin, (size_t)(end - begin), &character);
        if (character == '\0' || used + 1 >= ret_size)
            return false;
        ret_text[used++] = character;
    }
    ret_text[used] = '\0';
    return true;
}

bool hd_s3_next_upload(const char **xml, size_t *size, char *ret_key, size_t key_size,
                       char *ret_upload, size_t upload_size)
{
    static const char open[] = "<Upload>", close[] = "</Upload>";
    for (;;) {
        const char *begin = find(*xml, *size, open);
        const char *end = begin != NULL ? find(begin, *size - (size_t)(begin - *xml), close) : NULL;
        if (end == NULL)
            return false;
        size_t length = (size_t)(end - begin);
        *size -= (size_t)(end - *xml) + sizeof(close) - 1;
        *xml = end + sizeof(close) - 1;
        if (hd_s3_element(begin, length, "Key", ret_key, key_size) &&
            hd_s3_element(begin, length, "UploadId", ret_upload, upload_size))
            return true; /* another one is none of ours */
    }
}

/* ---- errors --------------------------------------------------------------------------------- */

static bool is_one_of(const char *word, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (hd_streq(word, words[i]))
            return true;
    return false;
}

static enum hd_code class_of(int status, const char *name)
{
    static const char *const again[] = {
        "SlowDown",        "InternalError",    "ServiceUnavailable",
        "RequestTimeout",  "BadDigest",        "XAmzContentSHA256Mismatch",
        "IncompleteBody",  "OperationAborted", "Throttling",
        "TooManyRequests", "InvalidPart"};
    if (hd_streq(name, "NoSuchUpload"))
        return HD_E_CONFLICT;
    if (is_one_of(name, again, HD_COUNT(again)))
        return HD_E_NET;
    if (hd_streq(name, "AuthorizationHeaderMalformed") || (status >= 300 && status < 400))
        return HD_E_UNSUPPORTED;
    if (status == 404)
        return HD_E_NOTFOUND;
    if (status == 401 || status == 403)
        return HD_E_AUTH;
    /* 200 with an error that has no name we know: like 500. */
    return status >= 500 || status == 408 || status == 429 || status < 300 ? HD_E_NET
                                                                           : HD_E_INVALID;
}

static const char *advice(enum hd_code code, const char *name)
{
    if (hd_streq(name, "RequestTimeTooSkewed"))
        return "; the clock of this machine is wrong";
    if (hd_streq(name, "SignatureDoesNotMatch"))
        return "; AWS_SECRET_ACCESS_KEY is not that of AWS_ACCESS_KEY_ID";
    if (hd_streq(name, "ExpiredToken"))
        return "; AWS_SESSION_TOKEN is over: give new credentials";
    if (code == HD_E_UNSUPPORTED)
        return "; the bucket is in another region: set AWS_REGION";
    return code == HD_E_AUTH ? "; the credentials do not allow it" : "";
}

/* One line, whatever a stranger wrote. */
static void make_plain(char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = ' ';
}

enum hd_code hd_s3_judge(int status, const char *xml, size_t size, const char *what,
                         struct hd_err *err)
{
    char name[64] = "", message[256] = "";
    bool said = find(xml, size, "<Error>") != NULL || find(xml, size, "<Error ") != NULL;
    if (status >= 200 && status < 300 && !said)
        return HD_OK;
    if (!hd_s3_element(xml, size, "Code", name, sizeof(name)))
        name[0] = '\0';
    if (!hd_s3_element(xml, size, "Message", message, sizeof(message)))
        message[0] = '\0';
    enum hd_code code = class_of(status, name);
    make_plain(name);
    make_plain(message);
    return hd_fail(err, code, "%s: HTTP %d%s%s%s%s%s", what, status, name[0] != '\0' ? " " : "",
                   name, message[0] != '\0' ? ": " : "", message, advice(code, name));
}
