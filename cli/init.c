/* SPDX-License-Identifier: Apache-2.0 */
/* hd init: an experiment, a target and, for an image, a Dockerfile to begin with. They are files of
 * cli/init, which the program carries. */
#include "commands.h"
#include "common/cli.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MAX 3
#define FILE_BYTES_MAX 16384

extern const char hd_init_experiment[];
extern const char hd_init_target_sh[], hd_init_target_py[], hd_init_target_c[];
extern const char hd_init_image_sh[], hd_init_image_py[], hd_init_image_c[];

struct language {
    const char *name;
    const char *file; /* the target's source */
    const char *text;
    const char *dockerfile;
    const char *command;
    const char *build; /* before it runs as a command; "": nothing */
    mode_t mode;
};

static const struct language languages[] = {
    {"shell", "target.sh", hd_init_target_sh, hd_init_image_sh, "./target.sh", "", 0755},
    {"python", "target.py", hd_init_target_py, hd_init_image_py, "./target.py", "", 0755},
    {"c", "target.c", hd_init_target_c, hd_init_image_c, "./target",
     "cc -O2 -o target target.c -lm", 0644},
};

struct file {
    char *path;
    const char *text;
    mode_t mode;
};

struct skeleton {
    const struct language *language;
    const char *directory;
    char name[HD_ID_MAX + 1];
    char tag[HD_ID_MAX + 1]; /* what the image is called */
    bool image;
    struct file files[FILES_MAX];
    size_t file_count;
};

static const struct language *find_language(const char *name)
{
    for (size_t i = 0; i < HD_COUNT(languages); i++)
        if (hd_streq(languages[i].name, name))
            return &languages[i];
    return NULL;
}

/* The last part of the path, when a run may be called so. */
static void name_after(char *absolute, char *ret_name)
{
    size_t end = strlen(absolute);
    while (end > 1 && absolute[end - 1] == '/')
        absolute[--end] = '\0';
    bool fits = hd_copy_text(ret_name, HD_ID_MAX + 1, strrchr(absolute, '/') + 1);
    if (!fits || hd_check_id("name", ret_name, NULL) != HD_OK)
        (void)hd_copy_text(ret_name, HD_ID_MAX + 1, "experiment");
}

/* An image's name has no capitals, and begins, goes on after a separator and ends with a letter or
 * a digit. */
static void tag_after(const char *name, char *ret_tag)
{
    size_t size = 0;
    for (; *name != '\0'; name++) {
        char letter = *name >= 'A' && *name <= 'Z' ? (char)(*name - 'A' + 'a') : *name;
        bool plain = (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9');
        if (plain || (size > 0 && ret_tag[size - 1] != '-'))
            ret_tag[size++] = plain ? letter : '-';
    }
    while (size > 0 && ret_tag[size - 1] == '-')
        size--;
    ret_tag[size] = '\0';
    if (size == 0)
        (void)hd_copy_text(ret_tag, HD_ID_MAX + 1, "experiment");
}

/* ---- the files ------------------------------------------------------------------------------ */

static enum hd_code add_file(struct skeleton *skeleton, const char *name, const char *text,
                             mode_t mode, struct hd_err *err)
{
    hd_assert(skeleton->file_count < FILES_MAX);
    struct file *file = &skeleton->files[skeleton->file_count];
    *file = (struct file){hd_path_join(skeleton->directory, name), text, mode};
    if (file->path == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory");
    skeleton->file_count++;
    struct stat st; /* also of a link that leads nowhere */
    if (lstat(file->path, &st) == 0)
        return hd_fail(err, HD_E_CONFLICT,
                       "%s exists: nothing is written; name another directory, or move it away",
                       file->path);
    if (errno != ENOENT)
        return hd_fail(err, HD_E_IO, "cannot write %s: %s", file->path, strerror(errno));
    return HD_OK;
}

static enum hd_code list_files(struct skeleton *skeleton, struct hd_err *err)
{
    const struct language *language = skeleton->language;
    enum hd_code code = add_file(skeleton, "experiment.yaml", hd_init_experiment, 0644, err);
    if (code == HD_OK)
        code = add_file(skeleton, language->file, language->text, language->mode, err);
    if (code == HD_OK && skeleton->image)
        code = add_file(skeleton, "Dockerfile", language->dockerfile, 0644, err);
    return code;
}

/* Puts the names and the target where the text has @NAME@, @TAG@ and @TARGET@. */
static enum hd_code fill_in(const struct skeleton *skeleton, const char *text, struct hd_buf *out,
                            struct hd_err *err)
{
    enum hd_code code = HD_OK;
    while (*text != '\0' && code == HD_OK) {
        size_t plain = strcspn(text, "@");
        code = hd_buf_append(out, text, plain, err);
        text += plain;
        if (code != HD_OK || *text == '\0')
            continue;
        if (strncmp(text, "@NAME@", 6) == 0) {
            code = hd_buf_puts(out, skeleton->name, err);
            text += 6;
        } else if (strncmp(text, "@TAG@", 5) == 0) {
            code = hd_buf_puts(out, skeleton->tag, err);
            text += 5;
        } else if (strncmp(text, "@TARGET@", 8) == 0) {
            code = skeleton->image
                       ? hd_buf_printf(out, err, "  image: \"%s\"", skeleton->tag)
                       : hd_buf_printf(out, err, "  command: [%s]", skeleton->language->command);
            text += 8;
        } else {
            code = hd_buf_append(out, text++, 1, err);
        }
    }
    return code;
}

/* All or none: half of them would be in the way of the next try. */
static enum hd_code write_files(const struct skeleton *skeleton, struct hd_err *err)
{
    struct hd_buf out;
    size_t written = 0;
    hd_buf_init(&out, FILE_BYTES_MAX);
    enum hd_code code = hd_mkdirs(skeleton->directory, 0777, err);
    for (size_t i = 0; i < skeleton->file_count && code == HD_OK; i++) {
        const struct file *file = &skeleton->files[i];
        hd_buf_clear(&out);
        code = fill_in(skeleton, file->text, &out, err);
        if (code == HD_OK)
            code = hd_file_write_atomic(file->path, out.data, out.size, file->mode, err);
        written += code == HD_OK ? 1 : 0;
    }
    for (size_t i = 0; i < written && code != HD_OK; i++)
        (void)unlink(skeleton->files[i].path);
    hd_buf_release(&out);
    return code;
}

/* As it can be given to a shell. */
static void say_cd(const char *directory)
{
    struct cli_quoted quoted;
    printf("  cd %s%s\n", directory[0] == '-' ? "-- " : "", cli_quote(directory, &quoted));
}

static void say_what_next(const struct skeleton *skeleton)
{
    for (size_t i = 0; i < skeleton->file_count; i++)
        printf("wrote %s\n", skeleton->files[i].path);
    printf("\nnow\n");
    if (!hd_streq(skeleton->directory, "."))
        say_cd(skeleton->directory);
    if (skeleton->image && hd_streq(skeleton->language->name, "c"))
        printf("  cc -O2 -static -o target target.c -lm\n");
    if (skeleton->image)
        printf("  docker build -t %s .\n", skeleton->tag);
    else if (skeleton->language->build[0] != '\0')
        printf("  %s\n", skeleton->language->build);
    printf("  hd check experiment.yaml\n"
           "  hd try experiment.yaml\n"
           "  hd run experiment.yaml\n"
           "and put your own program in the place of %s's example.\n",
           skeleton->language->file);
}

static enum hd_code init(struct skeleton *skeleton, struct hd_err *err)
{
    char *absolute = NULL;
    if (skeleton->directory[0] == '\0')
        return hd_fail(err, HD_E_INVALID, "the name of a directory is empty; \".\" is this one");
    enum hd_code code = hd_path_absolute(NULL, skeleton->directory, &absolute, err);
    if (code == HD_OK) {
        name_after(absolute, skeleton->name);
        tag_after(skeleton->name, skeleton->tag);
        code = list_files(skeleton, err);
    }
    if (code == HD_OK)
        code = write_files(skeleton, err);
    if (code == HD_OK)
        say_what_next(skeleton);
    hd_free(absolute);
    for (size_t i = 0; i < skeleton->file_count; i++)
        hd_free(skeleton->files[i].path);
    return code;
}

int cmd_init(int argc, char **argv)
{
    const char *words[1] = {"."}, *language = "shell";
    struct skeleton skeleton = {.directory = "."};
    struct hd_err err;
    size_t count;
    const struct hd_option options[] = {
        {.name = "language",
         .kind = HD_OPTION_TEXT,
         .value = &language,
         .hint = "NAME",
         .help = "of the target: shell, python or c (shell)"},
        {.name = "image",
         .kind = HD_OPTION_FLAG,
         .value = &skeleton.image,
         .help = "the target is an image: also a Dockerfile"},
    };
    const struct hd_program program = {
        .name = "hd init",
        .summary = "write an experiment and a target to begin with",
        .usage = "hd init [DIR] [options]",
        .options = options,
        .option_count = HD_COUNT(options),
        .positional_min = 0,
        .positional_max = 1,
        .epilogue = "No file is overwritten. Exit status: 0 written, 1 not, 2 usage, or a file "
                    "that is there.",
    };
    enum hd_parse_answer answer = hd_options_parse(&program, argc, argv, words, &count);
    if (answer != HD_PARSE_GO)
        return answer == HD_PARSE_EXIT_OK ? HD_EXIT_OK : HD_EXIT_USAGE;
    skeleton.directory = words[0];
    skeleton.language = find_language(language);
    if (skeleton.language == NULL) {
        fprintf(stderr, "hd init: there is no target in %s: shell, python or c\n", language);
        return HD_EXIT_USAGE;
    }
    enum hd_code code = init(&skeleton, &err);
    return code == HD_OK ? HD_EXIT_OK : cli_fail(&err);
}
