/* SPDX-License-Identifier: Apache-2.0 */
/* keyring.c: the tokens of a file with their roles, read again when the file changes. */
#include "os_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX 65536
#define LOOK_INTERVAL_MS 500 /* at most so often the file is looked at */
#define TOKEN_LENGTH_MIN 16

struct hd_keyring {
    char *path; /* NULL: a fixed token */
    pthread_mutex_t lock;
    struct hd_key keys[HD_KEYS_MAX];
    size_t key_count;
    struct stat seen;
    int64_t looked_ms;
    uint64_t generation;
    struct hd_log_gate complaints; /* of a file that cannot be read for now */
};

/* ---- roles ------------------------------------------------------------------------------------
 */

static const struct {
    const char *name;
    unsigned roles;
} role_names[] = {
    {"all", HD_ROLE_ALL},
    {"worker", HD_ROLE_WORKER},
    {"reader", HD_ROLE_READER},
    {"operator", HD_ROLE_OPERATOR | HD_ROLE_READER},
};

bool hd_role_parse(const char *name, unsigned *ret_roles)
{
    for (size_t i = 0; i < HD_COUNT(role_names); i++)
        if (hd_streq(name, role_names[i].name)) {
            *ret_roles = role_names[i].roles;
            return true;
        }
    return false;
}

const char *hd_role_name(unsigned roles)
{
    for (size_t i = 0; i < HD_COUNT(role_names); i++)
        if (roles == role_names[i].roles)
            return role_names[i].name;
    return "none";
}

/* ---- the file ---------------------------------------------------------------------------------
 */

static bool is_token(const char *text)
{
    size_t size = strlen(text);
    bool good = size >= TOKEN_LENGTH_MIN && size < HD_OS_TOKEN_SIZE;
    for (size_t i = 0; i < size; i++)
        good = good && text[i] > ' ' && text[i] < 127;
    return good;
}

/* The next word of a line, terminated in place; NULL when there is none. */
static char *next_word(char **at)
{
    char *word = *at + strspn(*at, " \t\r");
    if (*word == '\0')
        return NULL;
    size_t size = strcspn(word, " \t\r");
    *at = word + size + (word[size] != '\0' ? 1 : 0);
    word[size] = '\0';
    return word;
}

/* "TOKEN", "ROLE TOKEN" or "ROLE TOKEN until=SECONDS". */
static bool parse_line(char *line, struct hd_key *ret_key)
{
    char *words[4] = {NULL};
    size_t count = 0;
    while (count < HD_COUNT(words) && (words[count] = next_word(&line)) != NULL)
        count++;
    *ret_key = (struct hd_key){.roles = HD_ROLE_ALL};
    if (count == 0 || count > 3 || (count > 1 && !hd_role_parse(words[0], &ret_key->roles)))
        return false;
    const char *token = words[count > 1 ? 1 : 0];
    static const char until[] = "until=";
    if (count == 3 && (strncmp(words[2], until, sizeof(until) - 1) != 0 ||
                       !hd_parse_i64(words[2] + sizeof(until) - 1, &ret_key->until_wall_s) ||
                       ret_key->until_wall_s <= 0))
        return false;
    return is_token(token) && hd_copy_text(ret_key->token, sizeof(ret_key->token), token);
}

static enum hd_code parse_keys(char *text, const char *path, struct hd_key *keys, size_t *ret_count,
                               struct hd_err *err)
{
    size_t count = 0, number = 0;
    for (char *line = text; line != NULL;) {
        char *end = strchr(line, '\n');
        if (end != NULL)
            *end = '\0';
        number++;
        if (line[strspn(line, " \t\r")] != '\0' && line[0] != '#') {
            if (count == HD_KEYS_MAX)
                return hd_fail(err, HD_E_LIMIT, "the token file %s holds more than %d tokens", path,
                               HD_KEYS_MAX);
            if (!parse_line(line, &keys[count++]))
                return hd_fail(err, HD_E_INVALID,
                               "the token file %s, line %zu: wanted [all|worker|reader|operator] "
                               "TOKEN [until=SECONDS]; a token has %d to %d printable characters "
                               "without spaces",
                               path, number, TOKEN_LENGTH_MIN, HD_OS_TOKEN_SIZE - 1);
        }
        line = end != NULL ? end + 1 : NULL;
    }
    if (count == 0)
        return hd_fail(err, HD_E_INVALID, "the token file %s holds no token", path);
    *ret_count = count;
    return HD_OK;
}

static enum hd_code check_mode(const struct stat *st, const char *path, struct hd_err *err)
{
    if (!S_ISREG(st->st_mode))
        return hd_fail(err, HD_E_INVALID, "the token file %s is not a regular file", path);
    if ((st->st_mode & 077) != 0)
        return hd_fail(err, HD_E_AUTH,
                       "others may read the token file %s (mode %03o): run `chmod 600 %s`", path,
                       (unsigned)(st->st_mode & 0777), path);
    return HD_OK;
}

static enum hd_code read_text(int fd, const char *path, char *text, struct hd_err *err)
{
    size_t size = 0;
    for (;;) {
        ssize_t got = read(fd, text + size, FILE_BYTES_MAX - size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return hd_fail_errno(err, errno, "cannot read the token file %s", path);
        size += (size_t)got;
        if (size == FILE_BYTES_MAX)
            return hd_fail(err, HD_E_LIMIT, "the token file %s is longer than %d bytes", path,
                           FILE_BYTES_MAX);
        if (got == 0)
            break;
    }
    text[size] = '\0';
    return strlen(text) == size ? HD_OK
                                : hd_fail(err, HD_E_INVALID, "the token file %s is not text", path);
}

/* *ret_st: of the descriptor that was read, so that a later change is noticed. */
static enum hd_code read_keys(const char *path, struct hd_key *keys, size_t *ret_count,
                              struct stat *ret_st, struct hd_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 && errno == ENOENT)
        return hd_fail(err, HD_E_NOTFOUND,
                       "cannot open the token file %s: No such file or directory; put the one of "
                       "the nameserver's machine there, mode 0600, or make one: hd token add "
                       "--output FILE",
                       path);
    if (fd < 0)
        return hd_fail_errno(err, errno, "cannot open the token file %s", path);
    char *text = hd_malloc(FILE_BYTES_MAX + 1);
    enum hd_code code =
        text != NULL ? HD_OK : hd_fail(err, HD_E_NOMEM, "no memory to read %s", path);
    if (code == HD_OK && fstat(fd, ret_st) != 0)
        code = hd_fail_errno(err, errno, "cannot look at the token file %s", path);
    if (code == HD_OK)
        code = check_mode(ret_st, path, err);
    if (code == HD_OK)
        code = read_text(fd, path, text, err);
    if (code == HD_OK)
        code = parse_keys(text, path, keys, ret_count, err);
    close(fd);
    if (text != NULL)
        explicit_bzero(text, FILE_BYTES_MAX + 1);
    hd_free(text);
    return code;
}

enum hd_code hd_keys_read(const char *path, struct hd_key *ret_keys, size_t *ret_count,
                          struct hd_err *err)
{
    struct stat st;
    return read_keys(path, ret_keys, ret_count, &st, err);
}

enum hd_code hd_keys_write(const char *path, const struct hd_key *keys, size_t count,
                           struct hd_err *err)
{
    struct hd_buf text;
    hd_buf_init(&text, FILE_BYTES_MAX);
    enum hd_code code = HD_OK;
    for (size_t i = 0; i < count && code == HD_OK; i++) {
        if (keys[i].roles != HD_ROLE_ALL || keys[i].until_wall_s != 0)
            code = hd_buf_printf(&text, err, "%s ", hd_role_name(keys[i].roles));
        if (code == HD_OK)
            code = hd_buf_puts(&text, keys[i].token, err);
        if (code == HD_OK && keys[i].until_wall_s != 0)
            code = hd_buf_printf(&text, err, " until=%lld", (long long)keys[i].until_wall_s);
        if (code == HD_OK)
            code = hd_buf_puts(&text, "\n", err);
    }
    if (code == HD_OK)
        code = hd_file_write_as_before(path, hd_buf_text(&text), text.size, 0600, err);
    if (text.data != NULL)
        explicit_bzero(text.data, text.capacity);
    hd_buf_release(&text);
    return code;
}

void hd_token_make(char *ret_token)
{
    unsigned char random[32];
    hd_os_random(random, sizeof(random));
    for (size_t i = 0; i < sizeof(random); i++)
        (void)hd_format(ret_token + 2 * i, 3, "%02x", random[i]);
    explicit_bzero(random, sizeof(random));
}

/* ---- the ring ---------------------------------------------------------------------------------
 */

static bool is_live(const struct hd_key *key, int64_t wall_s)
{
    return key->until_wall_s == 0 || wall_s < key->until_wall_s;
}

enum hd_code hd_keyring_open(const char *path, struct hd_keyring **ret_ring, struct hd_err *err)
{
    char token[HD_OS_TOKEN_SIZE];
    struct hd_keyring *ring = hd_calloc(1, sizeof(*ring));
    if (ring == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for tokens");
    hd_assert(pthread_mutex_init(&ring->lock, NULL) == 0);
    enum hd_code code = hd_token_load(path, token, &ring->path, err); /* finds or makes the file */
    if (code == HD_OK)
        code = read_keys(ring->path, ring->keys, &ring->key_count, &ring->seen, err);
    ring->looked_ms = hd_clock_ms();
    if (code != HD_OK) {
        hd_keyring_free(ring);
        return code;
    }
    *ret_ring = ring;
    return HD_OK;
}

enum hd_code hd_keyring_fixed(const char *token, struct hd_keyring **ret_ring, struct hd_err *err)
{
    struct hd_keyring *ring = hd_calloc(1, sizeof(*ring));
    if (ring == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for tokens");
    hd_assert(pthread_mutex_init(&ring->lock, NULL) == 0);
    ring->key_count = 1;
    ring->keys[0].roles = HD_ROLE_ALL;
    (void)hd_copy_text(ring->keys[0].token, sizeof(ring->keys[0].token), token);
    *ret_ring = ring;
    return HD_OK;
}

void hd_keyring_free(struct hd_keyring *ring)
{
    if (ring == NULL)
        return;
    pthread_mutex_destroy(&ring->lock);
    explicit_bzero(ring->keys, sizeof(ring->keys));
    hd_free(ring->path);
    hd_free(ring);
}

static bool has_changed(const struct stat *a, const struct stat *b)
{
    return a->st_ino != b->st_ino || a->st_dev != b->st_dev || a->st_size != b->st_size ||
           a->st_mtim.tv_sec != b->st_mtim.tv_sec || a->st_mtim.tv_nsec != b->st_mtim.tv_nsec ||
           a->st_mode != b->st_mode;
}

/* Under the lock. A file that is gone or wrong changes nothing: the tokens read before stay, and
 * the reason is said once for each change of the file. What may pass (no descriptor, no memory, the
 * disk) is tried again. */
static void look_again(struct hd_keyring *ring)
{
    struct stat st;
    struct hd_err err;
    struct hd_key keys[HD_KEYS_MAX];
    size_t count = 0;
    int64_t now_ms = hd_clock_ms();
    if (ring->path == NULL || now_ms - ring->looked_ms < LOOK_INTERVAL_MS)
        return;
    ring->looked_ms = now_ms;
    if (stat(ring->path, &st) != 0 || !has_changed(&st, &ring->seen))
        return;
    enum hd_code code = read_keys(ring->path, keys, &count, &st, &err);
    bool is_of_file = code == HD_E_INVALID || code == HD_E_AUTH || code == HD_E_LIMIT;
    if (code == HD_OK || is_of_file)
        ring->seen = st;
    if (code == HD_OK) {
        memcpy(ring->keys, keys, sizeof(keys));
        ring->key_count = count;
        ring->generation++;
        hd_log(HD_LOG_INFO, "read %zu tokens again from %s", count, ring->path);
    } else if (is_of_file) {
        hd_log(HD_LOG_WARNING, "the tokens stay as they were: %s", err.text);
    } else {
        hd_log_gated(&ring->complaints, HD_LOG_WARNING, "the tokens stay as they were: %s",
                     err.text);
    }
    explicit_bzero(keys, sizeof(keys));
}

unsigned hd_keyring_roles(struct hd_keyring *ring, const char *token)
{
    unsigned roles = 0;
    pthread_mutex_lock(&ring->lock);
    look_again(ring);
    int64_t wall_s = hd_clock_wall_ms() / 1000;
    for (size_t i = 0; i < ring->key_count; i++) { /* all of them, whichever it is */
        bool equal = hd_token_equal(token, ring->keys[i].token);
        roles |= equal && is_live(&ring->keys[i], wall_s) ? ring->keys[i].roles : 0;
    }
    pthread_mutex_unlock(&ring->lock);
    return roles;
}

uint64_t hd_keyring_own(struct hd_keyring *ring, char *ret_token)
{
    pthread_mutex_lock(&ring->lock);
    look_again(ring);
    (void)hd_copy_text(ret_token, HD_OS_TOKEN_SIZE, ring->keys[0].token);
    uint64_t generation = ring->generation;
    pthread_mutex_unlock(&ring->lock);
    return generation;
}
