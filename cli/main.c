/* SPDX-License-Identifier: Apache-2.0 */
/* main.c: which subcommand; the rest is one file each. */
#include <hd/os.h>

#include <stdio.h>
#include <string.h>

#include "commands.h"

static const struct command {
    const char *name;
    const char *summary;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"init", "write an experiment and a target to begin with", cmd_init},
    {"import", "an experiment of Hyperdock 0.19 or mlframework as one of ours", cmd_import},
    {"run", "tune an experiment's target on this machine", cmd_run},
    {"attach", "watch a run that goes on", cmd_attach},
    {"resume", "go on with a run that was paused or stopped", cmd_resume},
    {"pause", "hand out no more jobs of a run", cmd_pause},
    {"cancel", "end a run, or one of its jobs, for good", cmd_cancel},
    {"set", "change limits of a run, also while it goes on", cmd_set},
    {"requeue", "failed jobs once more, as part of their run", cmd_requeue},
    {"submit", "add a run to a live master", cmd_submit},
    {"try", "run one job in the foreground; records nothing", cmd_try},
    {"rerun", "run a job once more in the foreground; records nothing", cmd_rerun},
    {"shell", "a shell or a command where a job runs, or would run", cmd_shell},
    {"ask-tell", "the optimizer on standard input and output", cmd_ask_tell},
    {"check", "validate an experiment, print its space and brackets; costs nothing", cmd_check},
    {"runs", "list the runs of a state directory", cmd_runs},
    {"status", "how a run is doing", cmd_status},
    {"best", "the best configs of a run", cmd_best},
    {"jobs", "list the jobs (others: trials) of a run", cmd_jobs},
    {"show", "everything about one job", cmd_show},
    {"explain", "why a job was proposed, promoted, retried, stopped", cmd_explain},
    {"logs", "what a job wrote", cmd_logs},
    {"fetch", "bring home what a job left", cmd_fetch},
    {"events", "the facts of a run, one by one", cmd_events},
    {"workers", "who evaluated how much; pause, resume, drain, shut down", cmd_workers},
    {"export", "all jobs as CSV or JSON", cmd_export},
    {"services", "containers that belong together: start them, take them down", cmd_services},
    {"doctor", "will it work on this machine, and what to do when not", cmd_doctor},
    {"fsck", "is a checkpoint whole, and does it restore to what it shows", cmd_fsck},
    {"notify", "who is told of runs, and does it arrive", cmd_notify},
    {"token", "list, add and rotate the tokens of a file", cmd_token},
    {"tls", "a CA and certificates for a cluster", cmd_tls},
    {"backup", "a verified copy of a checkpoint, while its master writes", cmd_backup},
};

static void print_help(FILE *out)
{
    fprintf(out, "hd: tune any program that runs as a Docker image or a command\n"
                 "usage: hd COMMAND [arguments]\n\n");
    for (size_t i = 0; i < HD_COUNT(commands); i++)
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
    fprintf(out,
            "\n"
            "  hd COMMAND --help   the options of a command\n"
            "  hd --version        the version\n"
            "\n"
            "The state directory is --state-dir, or $HYPERDOCK_STATE_DIR, or ./hyperdock-state.\n"
            "Commands that read take --json.\n");
}

static int unknown(const char *word)
{
    const char *names[HD_COUNT(commands)];
    for (size_t i = 0; i < HD_COUNT(commands); i++)
        names[i] = commands[i].name;
    const char *nearest = hd_nearest(word, names, HD_COUNT(commands));
    if (word[0] == '-')
        fprintf(stderr, "hd: the command comes first: hd COMMAND %s ...; see hd --help\n", word);
    else if (nearest != NULL)
        fprintf(stderr, "hd: unknown command \"%s\"; did you mean \"%s\"?\n", word, nearest);
    else
        fprintf(stderr, "hd: unknown command \"%s\"; see hd --help\n", word);
    return HD_EXIT_USAGE;
}

static const struct command *find(const char *word)
{
    for (size_t i = 0; i < HD_COUNT(commands); i++)
        if (hd_streq(word, commands[i].name))
            return &commands[i];
    return NULL;
}

static bool asks_for_help(const char *word)
{
    return hd_streq(word, "--help") || hd_streq(word, "-h") || hd_streq(word, "help");
}

static int run(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return HD_EXIT_USAGE;
    }
    if (hd_streq(argv[1], "--version") || hd_streq(argv[1], "version")) {
        printf("hd %s\n", HD_VERSION);
        return HD_EXIT_OK;
    }
    if (asks_for_help(argv[1]) && argc == 2) {
        print_help(stdout);
        return HD_EXIT_OK;
    }
    const char *word = asks_for_help(argv[1]) ? argv[2] : argv[1];
    const struct command *command = find(word);
    if (command == NULL)
        return unknown(word);
    if (!asks_for_help(argv[1]))
        return command->run(argc - 1, argv + 1);
    char help[] = "--help";
    char *help_argv[] = {argv[2], help, NULL};
    return command->run(2, help_argv);
}

int main(int argc, char **argv)
{
    hd_streams_open();
    int status = run(argc, argv);
    struct hd_err err;
    if (hd_streams_end(&err) != HD_OK && status == HD_EXIT_OK) {
        fprintf(stderr, "hd: %s\n", err.text);
        status = HD_EXIT_FAILED;
    }
    return status;
}
