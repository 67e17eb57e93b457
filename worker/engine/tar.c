/* SPDX-License-Identifier: Apache-2.0 */
/* tar.c: see tar.h. */
#include "tar.h"

#include <string.h>

/* ---- names and numbers ---------------------------------------------------------------------- */

bool hd_tar_clean_path(char *path)
{
    char *to = path;
    int depth = 0;
    if (path[0] == '/')
        return false;
    for (const char *from = path; *from != '\0';) {
        size_t size = strcspn(from, "/");
        const char *next = from + size + (from[size] == '/' ? 1 : 0);
        bool dot = size == 1 && from[0] == '.';
        if (size == 2 && from[0] == '.' && from[1] == '.')
            return false;
        if (size > 0 && !dot) {
            if (++depth > HD_TAR_DEPTH_MAX)
                return false;
            if (to != path)
                *to++ = '/';
            memmove(to, from, size);
            to += size;
        }
        from = next;
    }
    *to = '\0';
    return true;
}

/* Octal digits, with blanks before and a blank, a NUL or the field's end behind. */
static bool read_octal(const char *field, size_t size, uint64_t *ret_number)
{
    uint64_t number = 0;
    size_t i = 0;
    while (i < size && field[i] == ' ')
        i++;
    for (; i < size && field[i] >= '0' && field[i] <= '7'; i++) {
        if (number >> 60 != 0)
            return false;
        number = number * 8 + (uint64_t)(field[i] - '0');
    }
    if (i < size && field[i] != ' ' && field[i] != '\0')
        return false;
    *ret_number = number;
    return true;
}

static enum hd_code corrupt(struct hd_tar_reader *reader, const char *what)
{
    return hd_fail(&reader->err, HD_E_CORRUPT, "an archive that is none: %s", what);
}

static bool sum_is_right(const char *head)
{
    uint64_t wanted;
    unsigned sum = 0;
    for (size_t i = 0; i < HD_TAR_BLOCK; i++)
        sum += i >= 148 && i < 156 ? ' ' : (unsigned char)head[i];
    return read_octal(head + 148, 8, &wanted) && wanted == sum;
}

/* ---- extra headers -------------------------------------------------------------------------- */

static bool take_text(char *to, const char *text, size_t size)
{
    if (size >= HD_TAR_PATH_MAX || memchr(text, '\0', size) != NULL)
        return false;
    memcpy(to, text, size);
    to[size] = '\0';
    return true;
}

static bool take_size(struct hd_tar_reader *reader, const char *text, size_t size)
{
    char digits[24];
    if (size == 0 || size >= sizeof(digits))
        return false;
    memcpy(digits, text, size);
    digits[size] = '\0';
    reader->has_size = true;
    return hd_parse_u64(digits, &reader->next_size);
}

/* One "key=value"; what is not known says nothing that we need. */
static enum hd_code take_record(struct hd_tar_reader *reader, const char *record, size_t size)
{
    static const char sparse[] = "GNU.sparse.";
    const char *equals = memchr(record, '=', size);
    if (equals == NULL)
        return corrupt(reader, "an extra header has no value");
    size_t key = (size_t)(equals - record), value = size - key - 1;
    bool good = true;
    if (key == 4 && memcmp(record, "path", 4) == 0)
        good = reader->has_path = take_text(reader->next.path, equals + 1, value);
    else if (key == 8 && memcmp(record, "linkpath", 8) == 0)
        good = reader->has_link = take_text(reader->next.link, equals + 1, value);
    else if (key == 4 && memcmp(record, "size", 4) == 0)
        good = take_size(reader, equals + 1, value);
    else if (key >= sizeof(sparse) - 1 && memcmp(record, sparse, sizeof(sparse) - 1) == 0)
        return corrupt(reader, "a file with holes");
    return good ? HD_OK : corrupt(reader, "an extra header holds no name or size");
}

/* "LENGTH key=value\n", where LENGTH counts all of it. */
static enum hd_code take_extra(struct hd_tar_reader *reader)
{
    const char *at = hd_buf_text(&reader->extra);
    size_t left = reader->extra.size;
    enum hd_code code = HD_OK;
    if (reader->extra_is_global)
        return HD_OK;
    while (left > 0 && code == HD_OK) {
        size_t length = 0, digits = 0;
        while (digits < left && digits < 8 && at[digits] >= '0' && at[digits] <= '9')
            length = length * 10 + (size_t)(at[digits++] - '0');
        if (digits == 0 || digits >= left || at[digits] != ' ' || length > left ||
            length < digits + 3 || at[length - 1] != '\n')
            return corrupt(reader, "an extra header is not in order");
        code = take_record(reader, at + digits + 1, length - digits - 2);
        at += length;
        left -= length;
    }
    return code;
}

/* ---- headers -------------------------------------------------------------------------------- */

static bool kind_of(char type, enum hd_tar_kind *ret_kind)
{
    static const struct {
        char type;
        enum hd_tar_kind kind;
    } kinds[] = {
        {'0', HD_TAR_FILE},      {'\0', HD_TAR_FILE},   {'7', HD_TAR_FILE},
        {'5', HD_TAR_DIRECTORY}, {'2', HD_TAR_SYMLINK}, {'1', HD_TAR_HARDLINK},
        {'3', HD_TAR_OTHER},     {'4', HD_TAR_OTHER},   {'6', HD_TAR_OTHER},
    };
    for (size_t i = 0; i < HD_COUNT(kinds); i++)
        if (kinds[i].type == type) {
            *ret_kind = kinds[i].kind;
            return true;
        }
    return false;
}

/* Names of an old header: at most 155 bytes, a slash, and 100. */
static void read_names(struct hd_tar_reader *reader)
{
    const char *head = reader->head;
    struct hd_tar_entry *next = &reader->next;
    int prefix = memcmp(head + 257, "ustar", 6) == 0 ? (int)strnlen(head + 345, 155) : 0;
    if (!reader->has_path)
        (void)hd_format(next->path, sizeof(next->path), "%.*s%s%.*s", prefix, head + 345,
                        prefix > 0 ? "/" : "", (int)strnlen(head, 100), head);
    if (!reader->has_link)
        (void)hd_format(next->link, sizeof(next->link), "%.*s", (int)strnlen(head + 157, 100),
                        head + 157);
}

static void begin_body(struct hd_tar_reader *reader, enum hd_tar_state state, uint64_t size)
{
    reader->state = state;
    reader->left = size;
    reader->padding = (HD_TAR_BLOCK - size % HD_TAR_BLOCK) % HD_TAR_BLOCK;
}

static enum hd_code begin_extra(struct hd_tar_reader *reader, uint64_t size)
{
    if (size > HD_TAR_EXTRA_MAX)
        return hd_fail(&reader->err, HD_E_LIMIT, "an archive has a header of more than %u bytes",
                       HD_TAR_EXTRA_MAX);
    reader->extra_is_global = reader->head[156] == 'g';
    hd_buf_clear(&reader->extra);
    begin_body(reader, HD_TAR_EXTRA, size);
    return size > 0 ? HD_OK : corrupt(reader, "an extra header is empty");
}

static enum hd_code count_entry(struct hd_tar_reader *reader, uint64_t size)
{
    if (++reader->entries > reader->entries_max)
        return hd_fail(&reader->err, HD_E_LIMIT, "more than %llu files",
                       (unsigned long long)reader->entries_max);
    if (size > reader->bytes_max || reader->bytes > reader->bytes_max - size)
        return hd_fail(&reader->err, HD_E_LIMIT, "more than %llu bytes of files",
                       (unsigned long long)reader->bytes_max);
    reader->bytes += size;
    return HD_OK;
}

static enum hd_code judge_names(struct hd_tar_reader *reader)
{
    struct hd_tar_entry *next = &reader->next;
    if (!hd_tar_clean_path(next->path))
        return corrupt(reader, "a name leads out of it");
    if (next->path[0] == '\0' && next->kind != HD_TAR_DIRECTORY)
        return corrupt(reader, "an entry without a name");
    if (next->kind == HD_TAR_HARDLINK && (!hd_tar_clean_path(next->link) || next->link[0] == '\0'))
        return corrupt(reader, "a link leads out of it");
    return HD_OK;
}

/* The next entry; what is no file but says a size is passed over by that size. */
static enum hd_code begin_entry(struct hd_tar_reader *reader, uint64_t size, uint64_t mode,
                                uint64_t mtime)
{
    struct hd_tar_entry *next = &reader->next;
    if (reader->has_size)
        size = reader->next_size;
    read_names(reader);
    enum hd_code code = judge_names(reader);
    bool is_file = next->kind == HD_TAR_FILE;
    if (code == HD_OK)
        code = count_entry(reader, size);
    next->mode = (unsigned)mode & 07777u;
    next->size = is_file ? size : 0;
    next->mtime = mtime <= INT64_MAX / 1000 ? (int64_t)mtime : 0;
    if (code == HD_OK)
        code = reader->handler.entry(reader->handler.context, next, &reader->err);
    begin_body(reader, is_file ? HD_TAR_CONTENT : HD_TAR_PASS, size);
    if (code == HD_OK && is_file && size == 0)
        code = reader->handler.content(reader->handler.context, "", 0, true, &reader->err);
    reader->has_path = reader->has_link = reader->has_size = false;
    return code;
}

static bool is_zero(const char *head)
{
    for (size_t i = 0; i < HD_TAR_BLOCK; i++)
        if (head[i] != '\0')
            return false;
    return true;
}

static enum hd_code take_head(struct hd_tar_reader *reader)
{
    const char *head = reader->head;
    uint64_t size, mode, mtime;
    reader->head_used = 0;
    if (is_zero(head)) {
        reader->state = HD_TAR_ENDED;
        return HD_OK;
    }
    if (!sum_is_right(head))
        return corrupt(reader, "a wrong check sum");
    if (!read_octal(head + 124, 12, &size) || !read_octal(head + 100, 8, &mode) ||
        !read_octal(head + 136, 12, &mtime))
        return corrupt(reader, "a number is none");
    if (head[156] == 'x' || head[156] == 'g')
        return begin_extra(reader, size);
    if (!kind_of(head[156], &reader->next.kind))
        return corrupt(reader, "an entry of an unknown kind");
    return begin_entry(reader, size, mode, mtime);
}

/* ---- the stream ----------------------------------------------------------------------------- */

static enum hd_code take_body(struct hd_tar_reader *reader, const char *bytes, size_t size)
{
    bool last = size == reader->left;
    enum hd_code code = HD_OK;
    if (reader->state == HD_TAR_CONTENT)
        code = reader->handler.content(reader->handler.context, bytes, size, last, &reader->err);
    else if (reader->state == HD_TAR_EXTRA)
        code = hd_buf_append(&reader->extra, bytes, size, &reader->err);
    if (code == HD_OK && last && reader->state == HD_TAR_EXTRA)
        code = take_extra(reader);
    reader->left -= size;
    return code;
}

static size_t least(uint64_t a, size_t b)
{
    return a < b ? (size_t)a : b;
}

/* Takes some of it; how much, in *ret_taken. */
static enum hd_code step(struct hd_tar_reader *reader, const char *bytes, size_t size,
                         size_t *ret_taken)
{
    enum hd_code code = HD_OK;
    if (reader->state == HD_TAR_ENDED) {
        *ret_taken = size; /* whatever fills the last record */
    } else if (reader->state == HD_TAR_HEAD) {
        *ret_taken = least(HD_TAR_BLOCK - reader->head_used, size);
        memcpy(reader->head + reader->head_used, bytes, *ret_taken);
        reader->head_used += *ret_taken;
        if (reader->head_used == HD_TAR_BLOCK)
            code = take_head(reader);
    } else if (reader->left > 0) {
        *ret_taken = least(reader->left, size);
        code = take_body(reader, bytes, *ret_taken);
    } else {
        *ret_taken = least(reader->padding, size);
        reader->padding -= *ret_taken;
    }
    if (reader->state != HD_TAR_HEAD && reader->state != HD_TAR_ENDED && reader->left == 0 &&
        reader->padding == 0)
        reader->state = HD_TAR_HEAD;
    return code;
}

void hd_tar_reader_init(struct hd_tar_reader *reader, const struct hd_tar_handler *handler,
                        uint64_t bytes_max, uint64_t entries_max)
{
    memset(reader, 0, sizeof(*reader));
    reader->handler = *handler;
    reader->bytes_max = bytes_max;
    reader->entries_max = entries_max;
    hd_buf_init(&reader->extra, HD_TAR_EXTRA_MAX + 1);
}

void hd_tar_reader_release(struct hd_tar_reader *reader)
{
    hd_buf_release(&reader->extra);
}

enum hd_code hd_tar_reader_feed(struct hd_tar_reader *reader, const char *bytes, size_t size,
                                struct hd_err *err)
{
    while (reader->code == HD_OK && size > 0) {
        size_t taken = 0;
        reader->code = step(reader, bytes, size, &taken);
        bytes += taken;
        size -= taken;
    }
    if (reader->code != HD_OK)
        *err = reader->err;
    return reader->code;
}

enum hd_code hd_tar_reader_end(struct hd_tar_reader *reader, struct hd_err *err)
{
    if (reader->code == HD_OK && reader->state != HD_TAR_ENDED)
        reader->code = corrupt(reader, "it ends in the middle");
    if (reader->code != HD_OK)
        *err = reader->err;
    return reader->code;
}
