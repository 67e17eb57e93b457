/* SPDX-License-Identifier: Apache-2.0 */
/* commands.h: the subcommands of hd. argv[0] is the name of the subcommand; the answer is an exit
 * code of hd/os.h. A new one is a file, a line here, and a row in main.c. */
#ifndef HD_CLI_COMMANDS_H
#define HD_CLI_COMMANDS_H

int cmd_ask_tell(int argc, char **argv);
int cmd_attach(int argc, char **argv);
int cmd_backup(int argc, char **argv);
int cmd_best(int argc, char **argv);
int cmd_cancel(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_events(int argc, char **argv);
int cmd_explain(int argc, char **argv);
int cmd_export(int argc, char **argv);
int cmd_fetch(int argc, char **argv);
int cmd_fsck(int argc, char **argv);
int cmd_import(int argc, char **argv);
int cmd_init(int argc, char **argv);
int cmd_jobs(int argc, char **argv);
int cmd_logs(int argc, char **argv);
int cmd_notify(int argc, char **argv);
int cmd_pause(int argc, char **argv);
int cmd_requeue(int argc, char **argv);
int cmd_rerun(int argc, char **argv);
int cmd_resume(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_runs(int argc, char **argv);
int cmd_services(int argc, char **argv);
int cmd_set(int argc, char **argv);
int cmd_shell(int argc, char **argv);
int cmd_show(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_submit(int argc, char **argv);
int cmd_tls(int argc, char **argv);
int cmd_token(int argc, char **argv);
int cmd_try(int argc, char **argv);
int cmd_workers(int argc, char **argv);

#endif
