/* SPDX-License-Identifier: Apache-2.0 */
/* hd token and hd tls: what programs of a cluster know one another by. */
#include "commands.h"
#include "common/cli.h"

#include <hd/pki.h>

#include <stdio.h>
#include <string.h>

#define KEEP_MS_DEFAULT (INT64_C(24) * 3600 * 1000)
#define DAYS_DEFAULT 825
#define CA_DAYS_DEFAULT 3650
#define BACKDATE_S 3600 /* clocks of a cluster differ */
#define HOSTS_BYTES_MAX 4096

static void print_key(const struct hd_key *key, int64_t now_s)
{
    char when[HD_TIME_TEXT_SIZE] = "no end";
    if (key->until_wall_s > 0)
        hd_time_format(when, sizeof(when), key->until_wall_s * 1000);
    /* Enough to tell tokens apart, and no use to anybody. */
    printf("%-10s%.4s...  %s%s\n", hd_role_name(key->roles), key->token,
           key->until_wall_s > 0 ? "until " : "", when);
    if (key->until_wall_s > 0 && key->until_wall_s <= now_s)
        printf("%-10sended\n", "");
}

static size_t drop_ended(struct hd_key *keys, size_t count, int64_t now_s)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (keys[i].until_wall_s == 0 || keys[i].until_wall_s > now_s)
            keys[kept++] = keys[i];
    return kept;
}

/* Puts a new key where the first of its roles stands, so that a file's first line keeps its
 * meaning; the old ones of these roles end. */
static enum hd_code rotate(struct hd_key *keys, size_t *count, unsigned roles, int64_t until_s,
                           struct hd_err *err)
{
    size_t place = *count;
    if (*count == HD_KEYS_MAX)
        return hd_fail(err, HD_E_LIMIT, "the file holds %d tokens already: remove some lines",
                       HD_KEYS_MAX);
    for (size_t i = *count; i-- > 0;) {
        if (keys[i].roles != roles)
            continue;
        place = i;
        if (keys[i].until_wall_s == 0 || keys[i].until_wall_s > until_s)
            keys[i].until_wall_s = until_s;
    }
    if (place == *count)
        return hd_fail(err, HD_E_NOTFOUND,
                       "the file holds no token of the role \"%s\": see hd token add",
                       hd_role_name(roles));
    memmove(&keys[place + 1], &keys[place], (*count - place) * sizeof(*keys));
    keys[place] = (struct hd_key){.roles = roles};
    hd_token_make(keys[place].token);
    (*count)++;
    return HD_OK;
}

static enum hd_code add_key(struct hd_key *keys, size_t *count, unsigned roles, struct hd_err *err)
{
    if (*count == HD_KEYS_MAX)
        return hd_fail(err, HD_E_LIMIT, "the file holds %d tokens already: remove some lines",
                       HD_KEYS_MAX);
    keys[*count] = (struct hd_key){.roles = roles};
    hd_token_make(keys[(*count)++].token);
    return HD_OK;
}

struct token_order {
    const char *action, *file, *output;
    unsigned roles;
    int64_t keep_ms;
};

/* The one token, for whoever gets it. */
static enum hd_code write_output(const struct token_order *order, const struct hd_key *key,
                                 struct hd_err *err)
{
    const struct hd_key alone = {.roles = HD_ROLE_ALL};
    struct hd_key copy = alone;
    if (order->output == NULL)
        return HD_OK;
    (void)hd_copy_text(copy.token, sizeof(copy.token), key->token);
    return hd_keys_write(order->output, &copy, 1, err);
}

/* Two people who change one file at a time would undo one another. */
static enum hd_code change(const struct token_order *order, struct hd_key *keys, size_t *count,
                           struct hd_err *err)
{
    int64_t now_s = hd_clock_wall_ms() / 1000;
    struct hd_key before[HD_KEYS_MAX];
    *count = drop_ended(keys, *count, now_s);
    size_t before_count = *count;
    memcpy(before, keys, sizeof(before));
    enum hd_code code = hd_streq(order->action, "add")
                            ? add_key(keys, count, order->roles, err)
                            : rotate(keys, count, order->roles, now_s + order->keep_ms / 1000, err);
    size_t fresh = 0;
    while (code == HD_OK && fresh < before_count &&
           hd_streq(before[fresh].token, keys[fresh].token))
        fresh++;
    if (code == HD_OK) /* first for the others: what they get must be known before they use it */
        code = hd_keys_write(order->file, keys, *count, err);
    if (code == HD_OK)
        code = write_output(order, &keys[fresh], err);
    explicit_bzero(before, sizeof(before));
    return code;
}

static enum hd_code run_token(const struct token_order *order, struct hd_err *err)
{
    struct hd_key keys[HD_KEYS_MAX + 1];
    size_t count = 0;
    struct hd_lock_file *lock = NULL;
    char lock_path[CLI_PATH_MAX];
    bool list = hd_streq(order->action, "list");
    if (!list && !hd_streq(order->action, "add") && !hd_streq(order->action, "rotate"))
        return hd_fail(err, HD_E_INVALID, "unknown command \"token %s\"; it is list, add or rotate",
                       order->action);
    if (!hd_format(lock_path, sizeof(lock_path), "%s.lock", order->file))
        return hd_fail(err, HD_E_LIMIT, "the path %s is too long", order->file);
    enum hd_code code = list ? HD_OK : hd_lock_file_take(lock_path, &lock, err);
    if (code == HD_OK)
        code = hd_keys_read(order->file, keys, &count, err);
    if (code == HD_OK && !list)
        code = change(order, keys, &count, err);
    for (size_t i = 0; i < count && code == HD_OK; i++)
        print_key(&keys[i], hd_clock_wall_ms() / 1000);
    hd_lock_file_release(lock);
    explicit_bzero(keys, sizeof(keys));
    return code;
}

int cmd_token(int argc, char **argv)
{
    struct token_order order = {.keep_ms = KEEP_MS_DEFAULT};
    const char *role = "all", *file = NULL, *positionals[2] = {NULL};
    size_t count = 0;
    const struct hd_option options[] = {
        {.name = "role",
         .kind = HD_OPTION_TEXT,
         .value = &role,
         .hint = "ROLE",
         .help = "all, worker, reader or operator (default: all)"},
        {.name = "keep",
         .kind = HD_OPTION_DURATION,
         .value = &order.keep_ms,
         .hint = "TIME",
         .help = "old tokens stay good for so long (default: 24h)"},
        {.name = "output",
         .kind = HD_OPTION_TEXT,
         .value = &order.output,
         .hint = "FILE",
         .help = "write the new token, alone, for whoever gets it"},
        {.name = "token-file",
         .kind = HD_OPTION_TEXT,
         .value = &file,
         .hint = "FILE",
         .help = "the file of nameserver and masters (default: the user's)"},
    };
    const struct hd_program program = {
        .name = "hd token",
        .summary = "list, add and rotate the tokens of a file",
        .usage = "hd token list|add|rotate [FILE] [options]",
        .options = options,
        .option_count = HD_COUNT(options),
        .positional_min = 1,
        .positional_max = 2,
        .epilogue = "Programs read a changed file again by themselves. Tokens are never printed.",
    };
    enum hd_parse_answer answer = hd_options_parse(&program, argc, argv, positionals, &count);
    if (answer != HD_PARSE_GO)
        return answer == HD_PARSE_EXIT_OK ? HD_EXIT_OK : HD_EXIT_USAGE;
    struct hd_err err;
    char token[HD_OS_TOKEN_SIZE], *path = NULL;
    enum hd_code code = HD_OK;
    order.action = positionals[0];
    if (!hd_role_parse(role, &order.roles))
        code = hd_fail(&err, HD_E_INVALID, "--role: \"%s\" is not all, worker, reader or operator",
                       role);
    if (code == HD_OK)
        code = hd_streq(order.action, "list") /* which makes nothing */
                   ? hd_token_find(count > 1 ? positionals[1] : file, &path, &err)
                   : hd_token_load(count > 1 ? positionals[1] : file, token, &path, &err);
    order.file = path;
    if (code == HD_OK)
        code = run_token(&order, &err);
    hd_free(path);
    explicit_bzero(token, sizeof(token));
    return code == HD_OK ? HD_EXIT_OK : cli_fail(&err);
}

/* ---- hd tls -----------------------------------------------------------------------------------
 */

static enum hd_code make_hosts(const char *directory, const char *hosts, int64_t from_s,
                               int64_t days, struct hd_err *err)
{
    char list[HOSTS_BYTES_MAX];
    if (!hd_copy_text(list, sizeof(list), hosts))
        return hd_fail(err, HD_E_LIMIT, "--host is longer than %d bytes: call several times",
                       HOSTS_BYTES_MAX - 1);
    enum hd_code code = HD_OK;
    for (char *at = list; at != NULL && code == HD_OK;) {
        char *comma = strchr(at, ',');
        if (comma != NULL)
            *comma++ = '\0';
        code = hd_pki_make_host(directory, at, from_s, days, err);
        if (code == HD_OK)
            printf("made %s/%s.pem and %s/%s.key\n", directory, at, directory, at);
        at = comma;
    }
    return code;
}

static enum hd_code init_tls(const char *directory, const char *hosts, int64_t days,
                             struct hd_err *err)
{
    int64_t from_s = hd_clock_wall_ms() / 1000 - BACKDATE_S;
    char ca[CLI_PATH_MAX];
    if (!hd_format(ca, sizeof(ca), "%s/ca.pem", directory))
        return hd_fail(err, HD_E_LIMIT, "the path %s is too long", directory);
    enum hd_code code = HD_OK;
    if (!hd_path_exists(ca)) {
        code =
            hd_pki_make_ca(directory, from_s, days > CA_DAYS_DEFAULT ? days : CA_DAYS_DEFAULT, err);
        if (code == HD_OK)
            printf("made %s and %s/ca.key: keep the key where only you can read it\n", ca,
                   directory);
    }
    if (code == HD_OK)
        code = make_hosts(directory, hosts, from_s, days, err);
    if (code == HD_OK)
        printf("On each host: --cert HOST.pem --key HOST.key --ca ca.pem\n");
    return code;
}

int cmd_tls(int argc, char **argv)
{
    const char *hosts = NULL, *positionals[2] = {NULL};
    int64_t days = DAYS_DEFAULT;
    size_t count = 0;
    const struct hd_option options[] = {
        {.name = "host",
         .kind = HD_OPTION_TEXT,
         .value = &hosts,
         .hint = "NAME[,NAME...]",
         .help = "names by which the others dial these hosts"},
        {.name = "days",
         .kind = HD_OPTION_INT,
         .value = &days,
         .hint = "N",
         .help = "how long the certificates are valid (default: 825)",
         .int_min = 1,
         .int_max = HD_PKI_DAYS_MAX},
    };
    const struct hd_program program = {
        .name = "hd tls",
        .summary = "a CA and certificates for a cluster",
        .usage = "hd tls init DIR --host NAME[,NAME...] [options]",
        .options = options,
        .option_count = HD_COUNT(options),
        .positional_min = 2,
        .positional_max = 2,
        .epilogue = "A CA that is in DIR already signs further hosts. Nothing is replaced.",
    };
    enum hd_parse_answer answer = hd_options_parse(&program, argc, argv, positionals, &count);
    if (answer != HD_PARSE_GO)
        return answer == HD_PARSE_EXIT_OK ? HD_EXIT_OK : HD_EXIT_USAGE;
    struct hd_err err;
    enum hd_code code = HD_OK;
    if (!hd_streq(positionals[0], "init"))
        code =
            hd_fail(&err, HD_E_INVALID, "unknown command \"tls %s\"; it is init", positionals[0]);
    else if (hosts == NULL)
        code =
            hd_fail(&err, HD_E_INVALID, "tls init wants --host: the name by which others dial it");
    if (code == HD_OK)
        code = init_tls(positionals[1], hosts, days, &err);
    return code == HD_OK ? HD_EXIT_OK : cli_fail(&err);
}
