/* SPDX-License-Identifier: Apache-2.0 */
/* main.c: hd-bench: the optimizer on problems whose answers are known, in virtual time. */
#include "commands.h"

#include <hd/os.h>

#include <stdio.h>
#include <stdlib.h>

struct command {
    const char *name, *help;
    int (*run)(int argc, char **argv);
};

static const struct command commands[] = {
    {"run", "run methods on tasks and print their regrets", bench_command_run},
    {"tasks", "list the suites and their tasks", bench_command_tasks},
    {"best-known", "search the best loss that there is", bench_command_best},
};

const char *bench_data_dir(void)
{
    const char *given = getenv("HD_BENCH_DATA");
    return given != NULL && given[0] != '\0' ? given : HD_BENCH_DATA_DIR;
}

int bench_complain(const struct hd_err *err)
{
    fprintf(stderr, "hd-bench: %s\n", err->text);
    return err->code == HD_E_INVALID || err->code == HD_E_NOTFOUND ? HD_EXIT_USAGE : HD_EXIT_FAILED;
}

static void help(FILE *file)
{
    fprintf(file, "hd-bench: the optimizer on problems whose answers are known, in virtual time\n\n"
                  "Usage: hd-bench COMMAND [options]\n\nCommands:\n");
    for (size_t i = 0; i < HD_COUNT(commands); i++)
        fprintf(file, "  %-12s %s\n", commands[i].name, commands[i].help);
    fprintf(file,
            "\nhd-bench COMMAND --help tells more. docs/benchmarks.md says what is measured.\n");
}

int main(int argc, char **argv)
{
    const char *names[HD_COUNT(commands)];
    if (argc < 2 || hd_streq(argv[1], "--help") || hd_streq(argv[1], "-h")) {
        help(argc < 2 ? stderr : stdout);
        return argc < 2 ? HD_EXIT_USAGE : HD_EXIT_OK;
    }
    for (size_t i = 0; i < HD_COUNT(commands); i++) {
        names[i] = commands[i].name;
        if (hd_streq(argv[1], names[i]))
            return commands[i].run(argc - 1, argv + 1);
    }
    const char *nearest = hd_nearest(argv[1], names, HD_COUNT(commands));
    fprintf(stderr, "hd-bench: there is no command %s%s%s; hd-bench --help lists them\n", argv[1],
            nearest != NULL ? "; did you mean " : "", nearest != NULL ? nearest : "");
    return HD_EXIT_USAGE;
}
