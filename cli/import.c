/* SPDX-License-Identifier: Apache-2.0 */
/* hd import: a file of an older system as an experiment file, checked before it is written. */
#include "import.h"
#include "commands.h"
#include "common/cli.h"

#include <hd/experiment.h>

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SYSTEM_HYPERDOCK "hyperdock"
#define SYSTEM_MLFRAMEWORK "mlframework"

/* The documents of Hyperdock are JSON, the params of mlframework YAML. */
static const char *guess_system(const struct hd_buf *text)
{
    size_t at = 0;
    while (at < text->size && isspace((unsigned char)text->data[at]))
        at++;
    return at < text->size && (text->data[at] == '{' || text->data[at] == '[') ? SYSTEM_HYPERDOCK
                                                                               : SYSTEM_MLFRAMEWORK;
}

static enum hd_code import_text(const struct hd_buf *text, const char *system,
                                const struct import_options *options, struct import *ret_import,
                                struct hd_err *err)
{
    struct hd_value *document = NULL;
    bool hyperdock = hd_streq(system, SYSTEM_HYPERDOCK);
    enum hd_code code =
        hd_yaml_parse_tagged(hd_buf_text(text), text->size, options->file, &hd_value_limits_file,
                             hyperdock ? NULL : IMPORT_TUPLE, &document, err);
    if (code == HD_OK)
        code = hyperdock ? import_hyperdock(document, options, ret_import, err)
                         : import_mlframework(document, options, ret_import, err);
    hd_value_free(document);
    return code;
}

/* What is written must be a file that `hd run` takes. */
static enum hd_code check(const struct hd_buf *out, struct hd_err *err)
{
    struct hd_experiment *experiment = NULL;
    enum hd_code code = hd_experiment_parse_text(
        hd_buf_text(out), out->size, "the experiment made of it", NULL, &experiment, err);
    hd_experiment_free(experiment);
    return code;
}

static enum hd_code deliver(const struct hd_buf *out, const char *output, struct hd_err *err)
{
    struct stat st;
    if (output == NULL) {
        if (fwrite(out->data, 1, out->size, stdout) != out->size || fflush(stdout) != 0)
            return hd_fail(err, HD_E_IO, "cannot write to standard output: %s", strerror(errno));
        return HD_OK;
    }
    if (lstat(output, &st) == 0)
        return hd_fail(err, HD_E_CONFLICT, "%s exists: nothing is written", output);
    enum hd_code code = hd_file_write_atomic(output, out->data, out->size, 0644, err);
    if (code == HD_OK)
        printf("wrote %s\n", output);
    return code;
}

static enum hd_code import_file(const struct import_options *options, const char *system,
                                const char *output, struct hd_err *err)
{
    struct hd_buf text, out;
    struct import import = {0};
    hd_buf_init(&text, hd_value_limits_file.bytes_max + 1);
    hd_buf_init(&out, HD_EXPERIMENT_BYTES_MAX);
    enum hd_code code =
        hd_file_read(options->file, hd_value_limits_file.bytes_max, false, &text, err);
    if (code == HD_OK)
        code = import_text(&text, system != NULL ? system : guess_system(&text), options, &import,
                           err);
    if (code == HD_OK)
        code = import_write(&import, &out, err);
    if (code == HD_OK)
        code = check(&out, err);
    if (code == HD_OK)
        code = deliver(&out, output, err);
    import_release(&import);
    hd_buf_release(&text);
    hd_buf_release(&out);
    return code;
}

int cmd_import(int argc, char **argv)
{
    struct import_options imported = {0};
    const char *words[1], *system = NULL, *output = NULL;
    struct hd_err err;
    size_t count;
    const struct hd_option options[] = {
        {.name = "from",
         .kind = HD_OPTION_TEXT,
         .value = &system,
         .hint = "SYSTEM",
         .help = "hyperdock or mlframework (JSON is Hyperdock's, YAML mlframework's)"},
        {.name = "output",
         .kind = HD_OPTION_TEXT,
         .value = &output,
         .hint = "FILE",
         .help = "write it there (standard output)"},
        {.name = "name",
         .kind = HD_OPTION_TEXT,
         .value = &imported.name,
         .hint = "NAME",
         .help = "of the experiment (that of the trial, or of the file)"},
        {.name = "image",
         .kind = HD_OPTION_TEXT,
         .value = &imported.image,
         .hint = "IMAGE",
         .help = "what is run, where the file does not say it"},
        {.name = "command",
         .kind = HD_OPTION_TEXT,
         .value = &imported.command,
         .hint = "WORDS",
         .help = "what is run, or what the image is told"},
        {.name = "spec",
         .kind = HD_OPTION_INT,
         .value = &imported.spec,
         .int_min = 1,
         .int_max = 1000000,
         .hint = "N",
         .help = "which one of several param spaces"},
        {.name = "optimize",
         .kind = HD_OPTION_FLAG,
         .value = &imported.optimize,
         .help = "ranges and an optimizer in place of every combination"},
    };
    const struct hd_program program = {
        .name = "hd import",
        .summary = "an experiment of Hyperdock 0.19 or mlframework as one of ours",
        .usage = "hd import FILE [options]",
        .options = options,
        .option_count = HD_COUNT(options),
        .positional_min = 1,
        .positional_max = 1,
        .epilogue = "Exit status: 0 imported, 1 the file cannot be read or written, 2 usage, or a "
                    "file that is wrong.",
    };
    enum hd_parse_answer answer = hd_options_parse(&program, argc, argv, words, &count);
    if (answer != HD_PARSE_GO)
        return answer == HD_PARSE_EXIT_OK ? HD_EXIT_OK : HD_EXIT_USAGE;
    if (system != NULL && !hd_streq(system, SYSTEM_HYPERDOCK) &&
        !hd_streq(system, SYSTEM_MLFRAMEWORK)) {
        fprintf(stderr, "hd import: --from is hyperdock or mlframework, not %s\n", system);
        return HD_EXIT_USAGE;
    }
    imported.file = words[0];
    enum hd_code code = import_file(&imported, system, output, &err);
    return code == HD_OK ? HD_EXIT_OK : cli_fail(&err);
}
