/* SPDX-License-Identifier: Apache-2.0 */
/* home.c: see home.h. */
#include "home.h"

#include <dirent.h>
#include <hd/os.h>
#include <hd/value.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PATH_SIZE 4096
#define WHYS_MAX 16 /* reasons that are remembered */
#define ROOT_ENTRIES_MAX 10000

struct hd_home {
    struct hd_home_settings settings;
    char work[PATH_SIZE]; /* where `hd run` and `hd fetch` have work roots */
    struct hd_depot *depot;
    uint64_t words;
    struct {
        struct hd_attempt_ref attempt;
        char text[HD_REASON_MAX];
    } whys[WHYS_MAX];
    size_t next_why;
};

static struct hd_depot_place place_of(struct hd_attempt_ref attempt)
{
    return (struct hd_depot_place){.run_uid = attempt.run_uid, .config = attempt.job};
}

static void tell_files(struct hd_home *home, struct hd_attempt_ref attempt, enum hd_files files)
{
    struct hd_event event = {.kind = HD_EVENT_FILES, .attempt = attempt, .files = files};
    home->settings.tell(home->settings.context, &event);
}

/* ---- workers --------------------------------------------------------------------------------- */

static void keep_why(struct hd_home *home, struct hd_attempt_ref attempt, const char *why)
{
    size_t at = home->next_why++ % WHYS_MAX;
    home->whys[at].attempt = attempt;
    (void)hd_format(home->whys[at].text, sizeof(home->whys[at].text), "%.*s", HD_REASON_MAX - 1,
                    why);
}

static const char *why_of(const struct hd_home *home, struct hd_attempt_ref attempt)
{
    for (size_t back = 1; back <= WHYS_MAX && back <= home->next_why; back++) {
        size_t at = (home->next_why - back) % WHYS_MAX;
        if (hd_attempt_ref_equal(home->whys[at].attempt, attempt))
            return home->whys[at].text;
    }
    return "";
}

static void have_come(struct hd_home *home, struct hd_attempt_ref attempt)
{
    hd_log(HD_LOG_INFO, "job %u, attempt %u: what it left has come here", attempt.job,
           attempt.attempt);
    tell_files(home, attempt, HD_FILES_HOME);
    hd_depot_sweep(home->depot); /* what these are better than may go now */
}

static enum hd_code take_word(struct hd_home *home, const struct hd_core *core,
                              const struct hd_depot_question *question, struct hd_buf *json,
                              struct hd_err *err)
{
    struct hd_attempt_ref attempt = question->attempt;
    bool whole = false, wanted = home->settings.keeps(home->settings.context, attempt);
    home->words++;
    if (question->op == HD_DEPOT_NONE && wanted) {
        keep_why(home, attempt, question->why);
        tell_files(home, attempt, HD_FILES_NEVER);
    }
    if (!wanted || question->op == HD_DEPOT_BEGIN || question->op == HD_DEPOT_NONE)
        return hd_buf_printf(json, err, "{\"wanted\":%s}", wanted ? "true" : "false");
    enum hd_code code =
        hd_depot_take(home->depot, question, place_of(attempt), attempt, json, &whole, err);
    if (code == HD_OK && whole && hd_core_files(core, attempt) != HD_FILES_HOME)
        have_come(home, attempt);
    return code;
}

/* ---- people ---------------------------------------------------------------------------------- */

/* What is being fetched stays. */
static void keep_asked(struct hd_home *home, struct hd_attempt_ref attempt)
{
    struct hd_event event = {.kind = HD_EVENT_ASKED, .attempt = attempt};
    home->settings.tell(home->settings.context, &event);
}

static enum hd_code give(struct hd_home *home, const struct hd_core *core,
                         const struct hd_depot_question *question, struct hd_buf *json,
                         struct hd_err *err)
{
    bool ignored;
    if (hd_core_files(core, question->attempt) != HD_FILES_HOME)
        return hd_fail(err, HD_E_NOTFOUND, "the master does not have what it left");
    keep_asked(home, question->attempt);
    return hd_depot_take(home->depot, question, place_of(question->attempt), question->attempt,
                         json, &ignored, err);
}

static enum hd_code answer_ask(struct hd_home *home, const struct hd_core *core,
                               struct hd_attempt_ref attempt, struct hd_buf *json,
                               struct hd_err *err)
{
    static const char *const names[] = {
        [HD_FILES_AWAY] = "away",     [HD_FILES_HOME] = "home",       [HD_FILES_NEVER] = "never",
        [HD_FILES_COMING] = "coming", [HD_FILES_UNKNOWN] = "unknown",
    };
    struct hd_err ignored;
    uint64_t bytes = 0, size = 0;
    keep_asked(home, attempt);
    enum hd_files files = hd_core_files(core, attempt);
    if (hd_depot_progress(home->depot, place_of(attempt), attempt, &bytes, &size, &ignored) !=
        HD_OK)
        bytes = size = 0;
    enum hd_code code = hd_buf_printf(
        json, err,
        "{\"files\":\"%s\",\"bytes\":%" PRIu64 ",\"size\":%" PRIu64 ",\"why\":", names[files],
        bytes, size);
    if (code == HD_OK)
        code =
            hd_json_write_string(files == HD_FILES_NEVER ? why_of(home, attempt) : "", json, err);
    return code == HD_OK ? hd_buf_puts(json, "}", err) : code;
}

/* ---- views ----------------------------------------------------------------------------------- */

static bool fits(const char *view, enum hd_depot_op op)
{
    switch (op) {
    case HD_DEPOT_OFFER:
    case HD_DEPOT_PUT:
    case HD_DEPOT_BEGIN:
    case HD_DEPOT_NONE:
        return hd_streq(view, "home");
    case HD_DEPOT_LIST:
    case HD_DEPOT_GET:
        return hd_streq(view, "fetch");
    case HD_DEPOT_ASK:
        return hd_streq(view, "bring");
    }
    return false;
}

enum hd_code hd_home_answer(struct hd_home *home, const struct hd_core *core,
                            const struct hd_request *request, struct hd_buf *json,
                            struct hd_err *err)
{
    struct hd_depot_question question;
    enum hd_code code = hd_depot_question_parse(request->view_json, &question, err);
    if (code != HD_OK)
        return code;
    if (!fits(request->view, question.op))
        code = hd_fail(err, HD_E_INVALID, "the view \"%s\" has no such op", request->view);
    else if (hd_streq(request->view, "home"))
        code = take_word(home, core, &question, json, err);
    else if (question.op == HD_DEPOT_ASK)
        code = answer_ask(home, core, question.attempt, json, err);
    else
        code = give(home, core, &question, json, err);
    hd_depot_question_release(&question);
    return code;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static bool keeps(void *context, struct hd_attempt_ref attempt)
{
    const struct hd_home *home = context;
    return home->settings.keeps(home->settings.context, attempt);
}

static void tell_gone(void *context, struct hd_attempt_ref attempt)
{
    tell_files(context, attempt, HD_FILES_AWAY);
}

enum hd_code hd_home_open(const struct hd_home_settings *settings, struct hd_home **ret_home,
                          struct hd_err *err)
{
    char directory[PATH_SIZE];
    struct hd_home *home = hd_calloc(1, sizeof(*home));
    if (home == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for files of attempts");
    home->settings = *settings;
    const char *slash = strrchr(settings->store_path, '/');
    const struct hd_depot_settings depot = {.directory = directory,
                                            .bytes_max = settings->bytes_max,
                                            .shares = true,
                                            .keeps = keeps,
                                            .gone = tell_gone,
                                            .context = home};
    enum hd_code code = HD_OK;
    if (!hd_format(directory, sizeof(directory), "%s" HD_HOME_SUFFIX, settings->store_path) ||
        !hd_format(home->work, sizeof(home->work), "%.*swork",
                   slash != NULL ? (int)(slash - settings->store_path + 1) : 0,
                   settings->store_path))
        code = hd_fail(err, HD_E_LIMIT, "the path of the store is too long");
    if (code == HD_OK)
        code = hd_depot_open(&depot, &home->depot, err);
    if (code != HD_OK) {
        hd_home_close(home);
        return code;
    }
    *ret_home = home;
    return HD_OK;
}

void hd_home_close(struct hd_home *home)
{
    if (home == NULL)
        return;
    hd_depot_close(home->depot);
    hd_free(home);
}

static void tell_one(void *context, struct hd_attempt_ref attempt)
{
    tell_files(context, attempt, HD_FILES_HOME);
}

void hd_home_tell_all(struct hd_home *home)
{
    hd_depot_each(home->depot, tell_one, home);
}

void hd_home_sweep(struct hd_home *home)
{
    hd_depot_sweep(home->depot);
}

uint64_t hd_home_words(const struct hd_home *home)
{
    return home->words;
}

static bool is_marked(const char *directory, const char *root)
{
    char path[PATH_SIZE];
    struct hd_buf line;
    struct hd_err ignored;
    hd_buf_init(&line, HD_ROOT_ID_MAX + 2);
    bool same = hd_format(path, sizeof(path), "%s/.hyperdock-root", directory) &&
                hd_file_read(path, HD_ROOT_ID_MAX + 1, true, &line, &ignored) == HD_OK &&
                strncmp(hd_buf_text(&line), root, strlen(root)) == 0 &&
                strchr("\n", hd_buf_text(&line)[strlen(root)]) != NULL;
    hd_buf_release(&line);
    return same;
}

bool hd_home_has_root(const struct hd_home *home, const char *root)
{
    char path[PATH_SIZE];
    struct dirent *entry;
    bool found = false;
    DIR *stream = root[0] != '\0' ? opendir(home->work) : NULL;
    for (int i = 0;
         stream != NULL && !found && i < ROOT_ENTRIES_MAX && (entry = readdir(stream)) != NULL; i++)
        found = entry->d_name[0] != '.' &&
                hd_format(path, sizeof(path), "%s/%s", home->work, entry->d_name) &&
                is_marked(path, root);
    if (stream != NULL)
        closedir(stream);
    return found;
}
