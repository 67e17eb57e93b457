/* SPDX-License-Identifier: Apache-2.0 */
/*
 * words.c: a command line as a shell would quote it, without a shell.
 *
 * Words are separated by white space; '...' is literal; "..." knows \" \\ \$ \` ; a backslash
 * outside quotes takes the next character as it is. Characters that mean something to a shell
 * only (| & ; < > `) are refused unless quoted: passed on in silence they would do nothing.
 */
#include <hd/experiment.h>

#include <string.h>

struct splitter {
    const char *at;
    char **words;
    size_t count, capacity;
    struct hd_buf word;
    bool in_word; /* '' is a word too */
    struct hd_err *err;
};

void hd_words_free(char **words)
{
    if (words == NULL)
        return;
    for (size_t i = 0; words[i] != NULL; i++)
        hd_free(words[i]);
    hd_free(words);
}

static enum hd_code fail_nomem(struct splitter *splitter)
{
    return hd_fail(splitter->err, HD_E_NOMEM, "no memory to split a command");
}

static enum hd_code end_word(struct splitter *splitter)
{
    if (!splitter->in_word)
        return HD_OK;
    if (splitter->count == HD_COMMAND_WORDS_MAX)
        return hd_fail(splitter->err, HD_E_LIMIT, "a command of more than %d words",
                       HD_COMMAND_WORDS_MAX);
    if (splitter->count + 1 >= splitter->capacity) {
        size_t capacity = splitter->capacity < 8 ? 8 : splitter->capacity * 2;
        char **words = hd_realloc(splitter->words, capacity * sizeof(*words));
        if (words == NULL)
            return fail_nomem(splitter);
        splitter->words = words;
        splitter->capacity = capacity;
    }
    char *word = hd_strdup(hd_buf_text(&splitter->word));
    splitter->words[splitter->count] = word;
    if (word == NULL)
        return fail_nomem(splitter);
    splitter->words[++splitter->count] = NULL;
    splitter->in_word = false;
    hd_buf_clear(&splitter->word);
    return HD_OK;
}

static enum hd_code add_char(struct splitter *splitter, char c)
{
    splitter->in_word = true;
    return hd_buf_append(&splitter->word, &c, 1, splitter->err);
}

/* From the opening quote to the closing one. */
static enum hd_code read_quoted(struct splitter *splitter)
{
    char quote = *splitter->at++;
    splitter->in_word = true;
    enum hd_code code = HD_OK;
    for (; code == HD_OK && *splitter->at != quote; splitter->at++) {
        if (*splitter->at == '\0')
            return hd_fail(splitter->err, HD_E_INVALID, "a quote %c is not closed", quote);
        if (quote == '"' && splitter->at[0] == '\\' && splitter->at[1] != '\0' &&
            strchr("\"\\$`", splitter->at[1]) != NULL)
            splitter->at++;
        code = add_char(splitter, *splitter->at);
    }
    if (code == HD_OK)
        splitter->at++;
    return code;
}

static enum hd_code read_char(struct splitter *splitter)
{
    char c = *splitter->at;
    if (c == '\'' || c == '"')
        return read_quoted(splitter);
    if (strchr("|&;<>`", c) != NULL)
        return hd_fail(splitter->err, HD_E_INVALID,
                       "there is no shell that would understand '%c': quote it, or write the "
                       "command as [sh, -c, \"...\"]",
                       c);
    splitter->at++;
    if (strchr(" \t\r\n", c) != NULL)
        return end_word(splitter);
    if (c != '\\')
        return add_char(splitter, c);
    if (*splitter->at == '\0')
        return hd_fail(splitter->err, HD_E_INVALID, "a backslash at the end quotes nothing");
    return add_char(splitter, *splitter->at++);
}

enum hd_code hd_words_split(const char *text, char ***ret_words, size_t *ret_count,
                            struct hd_err *err)
{
    struct splitter splitter = {.at = text, .err = err};
    hd_buf_init(&splitter.word, HD_EXPERIMENT_BYTES_MAX);
    splitter.words = hd_calloc(1, sizeof(*splitter.words));
    splitter.capacity = 1;
    enum hd_code code = splitter.words != NULL ? HD_OK : fail_nomem(&splitter);
    while (code == HD_OK && *splitter.at != '\0')
        code = read_char(&splitter);
    if (code == HD_OK)
        code = end_word(&splitter);
    hd_buf_release(&splitter.word);
    if (code != HD_OK) {
        hd_words_free(splitter.words);
        return code;
    }
    *ret_words = splitter.words;
    *ret_count = splitter.count;
    return HD_OK;
}
