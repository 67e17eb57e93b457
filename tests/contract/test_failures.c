/* SPDX-License-Identifier: Apache-2.0 */
/* Every way in which a container can fail, from what the engine says to what a person reads: each
 * row of the table is a test of its own, with its outcome and the whole of its message. */
#include "docker_room.h"
#include "testlib.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum deed {
    ENDS,          /* by itself, with the row's code */
    REFUSED,       /* the engine answers the row's route with its status and body */
    STOPPED,       /* cancelled by us */
    LATE,          /* its time limit passes */
    SHUT_DOWN,     /* the engine ends it, answers the wait as ever, and goes away */
    CRASHED,       /* the engine breaks off; when it is back the container has ended */
    LIVES_ON,      /* the engine breaks off; the container does not notice, and ends later */
    STAYS_AWAY,    /* the engine never comes back */
    REMOVED,       /* somebody removes the container */
    UPGRADED,      /* the engine comes back and speaks newer versions only */
    UPGRADED_IDLE, /* the same, before the job: no connection tells of it */
    PAUSED,        /* somebody pauses it and lets it go on */
};

struct failure {
    const char *name;
    enum deed deed;
    int exit_code;
    bool oom, oom_flag_missed;
    const char *says; /* the last line of its log; NULL none */
    enum fake_route route;
    int status;
    const char *body;
    const char *image; /* NULL: one that is here */
    enum hd_outcome outcome;
    const char *message; /* all of it; "@": the directory of the test */
};

#define START_REFUSED(code, text)                                                                  \
    .deed = REFUSED, .route = FAKE_START, .status = (code), .body = "{\"message\":\"" text "\"}"
#define CREATE_REFUSED(code, text)                                                                 \
    .deed = REFUSED, .route = FAKE_CREATE, .status = (code), .body = "{\"message\":\"" text "\"}"
#define PULL_REFUSED(text)                                                                         \
    .deed = REFUSED, .route = FAKE_PULL, .status = 500, .image = "some/thing:1",                   \
    .body = "{\"message\":\"" text "\"}"

#define NO_PROGRAM                                                                                 \
    "; the image holds no such program: check target.command, and note that not every image has "  \
    "a shell"
#define RESTARTING                                                                                 \
    "killed while the Docker engine was away or restarting; with live-restore the engine leaves "  \
    "containers running"
#define COULD_NOT_BE_PULLED "image some/thing:1 does not exist here and could not be pulled "
#define NO_ROOM "; make room on the disk where this engine keeps its data"

static const struct failure failures[] = {
    /* what cannot start: the experiment's fault */
    {.name = "command_absent",
     START_REFUSED(400, "OCI runtime create failed: exec: \\\"/nope\\\": stat /nope: no such file "
                        "or directory: unknown"),
     .outcome = HD_OUTCOME_CONFIG_ERROR,
     .message = "the container cannot be started: OCI runtime create failed: exec: \"/nope\": stat "
                "/nope: no such file or directory: unknown" NO_PROGRAM},
    {.name = "shell_absent",
     START_REFUSED(400, "exec: \\\"sh\\\": executable file not found in $PATH: unknown"),
     .outcome = HD_OUTCOME_CONFIG_ERROR,
     .message = "the container cannot be started: exec: \"sh\": executable file not found in "
                "$PATH: unknown" NO_PROGRAM},
    {.name = "command_absent_seen_by_init",
     .deed = ENDS,
     .exit_code = 127,
     .says = "[FATAL tini (7)] exec /nope failed: No such file or directory",
     .outcome = HD_OUTCOME_CONFIG_ERROR,
     .message = "its command could not be executed: exec /nope failed: No such file or "
                "directory" NO_PROGRAM},
    {.name = "command_not_executable",
     START_REFUSED(400, "exec: \\\"/etc\\\": permission denied: unknown"),
     .outcome = HD_OUTCOME_CONFIG_ERROR,
     .message = "the container cannot be started: exec: \"/etc\": permission denied: unknown; it "
                "is no program that may be executed: check target.command, or chmod +x it in the "
                "image"},
    {.name = "command_not_executable_seen_by_init",
     .deed = ENDS,
     .exit_code = 126,
     .says = "[FATAL tini (7)] exec /etc failed: Permission denied",
     .outcome = HD_OUTCOME_CONFIG_ERROR,
     .message = "its command could not be executed: exec /etc failed: Permission denied; it is no "
                "program that may be executed: check target.command, or chmod +x it in the image"},
    {.name = "program_of_another_machine",
     START_REFUSED(400, "exec /train: exec format error"),
     .outcome = HD_OUTCOME_CONFIG_ERROR,
     .message = "the container cannot be started: exec /train: exec format error; the program is "
                "for another kind of processor, or a script without its #! line"},
    {.name = "no_entry_point_and_no_command",
     CREATE_REFUSED(400, "No command specified"),
     .outcome = HD_OUTCOME_CONFIG_ERROR,
     .message = "the container cannot be created: No command specified; the image has no entry "
                "point: give target.command"},
    {.name = "mount_of_a_file_on_a_directory",
     START_REFUSED(400,
                   "error mounting \\\"/f\\\" to rootfs at \\\"/x\\\": not a directory: unknown"),
     .outcome = HD_OUTCOME_CONFIG_ERROR,
     .message = "the container cannot be started: error mounting \"/f\" to rootfs at \"/x\": not a "
                "directory: unknown; a file is mounted where a directory is, or the other way "
                "round"},
    {.name = "bind_source_absent",
     CREATE_REFUSED(400, "invalid mount config for type \\\"bind\\\": bind source path does not "
                         "exist: /nodata"),
     .outcome = HD_OUTCOME_CONFIG_ERROR,
     .message = "the container cannot be created: invalid mount config for type \"bind\": bind "
                "source path does not exist: /nodata; it must exist on the machine where the "
                "engine runs; if the worker runs in a container, under the same path there"},
    {.name = "user_absent",
     START_REFUSED(500, "unable to find user bob: no matching entries in passwd file"),
     .outcome = HD_OUTCOME_CONFIG_ERROR,
     .message = "the container cannot be started: unable to find user bob: no matching entries in "
                "passwd file; target.container.user names nobody of the image's /etc/passwd; a "
                "number always works"},
    {.name = "host_name_too_long",
     START_REFUSED(500, "OCI runtime create failed: sethostname: invalid argument: unknown"),
     .outcome = HD_OUTCOME_CONFIG_ERROR,
     .message = "the container cannot be started: OCI runtime create failed: sethostname: invalid "
                "argument: unknown; the host name is too long"},
    {.name = "network_absent",
     START_REFUSED(404, "network nonet not found"),
     .outcome = HD_OUTCOME_CONFIG_ERROR,
     .message = "the container cannot be started: network nonet not found; target.networks or "
                "target.container.network names a network that this engine does not have"},
    {.name = "memory_limit_too_low",
     CREATE_REFUSED(400, "Minimum memory limit allowed is 6MB"),
     .outcome = HD_OUTCOME_CONFIG_ERROR,
     .message = "the container cannot be created: Minimum memory limit allowed is 6MB; raise "
                "target.resources.memory"},
    /* what cannot start here: another worker may do it */
    {.name = "no_gpu_here",
     START_REFUSED(500, "could not select device driver \\\"nvidia\\\" with capabilities: [[gpu]]"),
     .outcome = HD_OUTCOME_INFRA,
     .message = "the container cannot be started: could not select device driver \"nvidia\" with "
                "capabilities: [[gpu]]; this engine cannot hand out GPUs: install the NVIDIA "
                "container toolkit, or start the worker with --gpus none"},
    {.name = "runtime_absent",
     CREATE_REFUSED(400, "Unknown runtime specified nvidia"),
     .outcome = HD_OUTCOME_INFRA,
     .message = "the container cannot be created: Unknown runtime specified nvidia; install that "
                "runtime for this engine, or leave target.container.runtime out"},
    {.name = "port_taken",
     START_REFUSED(500, "driver failed programming external connectivity: Bind for 0.0.0.0:80 "
                        "failed: port is already allocated"),
     .outcome = HD_OUTCOME_INFRA,
     .message = "the container cannot be started: driver failed programming external "
                "connectivity: Bind for 0.0.0.0:80 failed: port is already allocated; another "
                "container or program on this machine has it"},
    {.name = "too_few_cpus_here",
     CREATE_REFUSED(400, "Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available"),
     .outcome = HD_OUTCOME_INFRA,
     .message = "the container cannot be created: Range of CPUs is from 0.01 to 2.00, as there are "
                "only 2 CPUs available; lower target.resources.cpus, or use a larger machine"},
    {.name = "disk_full_at_create",
     CREATE_REFUSED(500, "mkdir /var/lib/docker/overlay2/x: no space left on device"),
     .outcome = HD_OUTCOME_INFRA,
     .message = "the container cannot be created: mkdir /var/lib/docker/overlay2/x: no space left "
                "on device" NO_ROOM},
    {.name = "disk_full_at_start",
     START_REFUSED(500, "write /run/x/config.json: no space left on device"),
     .outcome = HD_OUTCOME_INFRA,
     .message = "the container cannot be started: write /run/x/config.json: no space left on "
                "device" NO_ROOM},
    {.name = "disk_full_at_pull",
     PULL_REFUSED("write /layer.tar: no space left on device"),
     .outcome = HD_OUTCOME_INFRA,
     .message = COULD_NOT_BE_PULLED "(make room on this machine (docker system prune)): write "
                                    "/layer.tar: no space left on device"},
    /* images that do not come */
    {.name = "image_absent",
     PULL_REFUSED("manifest unknown"),
     .outcome = HD_OUTCOME_CONFIG_ERROR,
     .message = COULD_NOT_BE_PULLED
     "(check its name, or load it into the engine of this worker): manifest unknown"},
    {.name = "login_absent",
     PULL_REFUSED("no basic auth credentials"),
     .outcome = HD_OUTCOME_CONFIG_ERROR,
     .message = COULD_NOT_BE_PULLED "(check its name, or log in (docker login) as the user who "
                                    "runs this worker): no basic auth credentials"},
    {.name = "registry_silent",
     PULL_REFUSED("dial tcp 127.0.0.1:5: connect: connection refused"),
     .outcome = HD_OUTCOME_INFRA,
     .message = COULD_NOT_BE_PULLED
     "(its registry does not answer now): dial tcp 127.0.0.1:5: connect: connection refused"},
    {.name = "registry_unknown",
     PULL_REFUSED("dial tcp: lookup r: no such host"),
     .outcome = HD_OUTCOME_CONFIG_ERROR,
     .message = COULD_NOT_BE_PULLED
     "(nobody here knows its registry: check the name and the network, or load it into the engine "
     "of this worker): dial tcp: lookup r: no such host"},
    /* memory */
    {.name = "memory_limit",
     .deed = ENDS,
     .exit_code = 137,
     .oom = true,
     .outcome = HD_OUTCOME_OOM,
     .message = "killed for passing its memory limit; raise target.resources.memory or make the "
                "program smaller"},
    {.name = "memory_limit_of_a_child",
     .deed = ENDS,
     .exit_code = 7,
     .oom = true,
     .outcome = HD_OUTCOME_OOM,
     .message = "a process of it was killed for passing the memory limit, the program then ended "
                "with exit code 7; raise target.resources.memory"},
    {.name = "memory_limit_without_the_flag",
     .deed = ENDS,
     .exit_code = 137,
     .oom = true,
     .oom_flag_missed = true,
     .outcome = HD_OUTCOME_OOM,
     .message = "killed for passing its memory limit; raise target.resources.memory or make the "
                "program smaller"},
    /* signals and codes */
    {.name = "killed_by_a_stranger",
     .deed = ENDS,
     .exit_code = 137,
     .outcome = HD_OUTCOME_INFRA,
     .message = "exit code 137 (SIGKILL), and neither Hyperdock nor its memory limit did it: an "
                "operator, the machine short of memory, or the engine stopping"},
    {.name = "killed_by_us",
     .deed = STOPPED,
     .exit_code = 137,
     .outcome = HD_OUTCOME_CANCELLED,
     .message = "ended on request (cancelled)"},
    {.name = "time_limit",
     .deed = LATE,
     .outcome = HD_OUTCOME_TIMEOUT,
     .message = "it ran longer than its time limit and was ended; raise target.timeout if it needs "
                "more"},
    {.name = "exit_42",
     .deed = ENDS,
     .exit_code = 42,
     .outcome = HD_OUTCOME_FAILED,
     .message = "exit code 42; see its log"},
    {.name = "bad_memory_access",
     .deed = ENDS,
     .exit_code = 139,
     .outcome = HD_OUTCOME_FAILED,
     .message = "exit code 139 (SIGSEGV, a bad memory access); see its log"},
    {.name = "abort",
     .deed = ENDS,
     .exit_code = 134,
     .outcome = HD_OUTCOME_FAILED,
     .message = "exit code 134 (SIGABRT); see its log"},
    {.name = "terminated_by_a_stranger",
     .deed = ENDS,
     .exit_code = 143,
     .outcome = HD_OUTCOME_FAILED,
     .message = "exit code 143 (SIGTERM); see its log"},
    {.name = "its_script_lacks_a_command",
     .deed = ENDS,
     .exit_code = 127,
     .says = "train.sh: line 3: pyhton: not found",
     .outcome = HD_OUTCOME_FAILED,
     .message = "exit code 127: a command was not found; see its log"},
    /* the engine away */
    {.name = "engine_shut_down",
     .deed = SHUT_DOWN,
     .exit_code = 137,
     .outcome = HD_OUTCOME_INFRA,
     .message = RESTARTING},
    {.name = "engine_shut_down_and_target_obeyed",
     .deed = SHUT_DOWN,
     .exit_code = 143,
     .outcome = HD_OUTCOME_INFRA,
     .message = RESTARTING},
    {.name = "engine_killed",
     .deed = CRASHED,
     .exit_code = 137,
     .outcome = HD_OUTCOME_INFRA,
     .message = RESTARTING},
    {.name = "engine_killed_and_target_ended_well",
     .deed = CRASHED,
     .exit_code = 0,
     .outcome = HD_OUTCOME_OK,
     .message = ""},
    {.name = "engine_restarted_with_live_restore",
     .deed = LIVES_ON,
     .exit_code = 0,
     .outcome = HD_OUTCOME_OK,
     .message = ""},
    {.name = "engine_upgraded_with_live_restore",
     .deed = UPGRADED,
     .exit_code = 0,
     .outcome = HD_OUTCOME_OK,
     .message = ""},
    {.name = "engine_upgraded_between_jobs",
     .deed = UPGRADED_IDLE,
     .exit_code = 0,
     .outcome = HD_OUTCOME_OK,
     .message = ""},
    {.name = "engine_gone_for_good",
     .deed = STAYS_AWAY,
     .outcome = HD_OUTCOME_INFRA,
     .message = "the Docker engine did not come back: no Docker engine: @/docker.sock does not "
                "exist; start dockerd, or set DOCKER_HOST"},
    {.name = "container_removed",
     .deed = REMOVED,
     .outcome = HD_OUTCOME_INFRA,
     .message = "its container was removed by somebody else, so that its end is not known"},
    {.name = "paused_is_no_end",
     .deed = PAUSED,
     .exit_code = 0,
     .outcome = HD_OUTCOME_OK,
     .message = ""},
};

static const struct failure *failure; /* of the running test */
static char elsewhere[64];

static int setup(void **state)
{
    struct docker_room *room = calloc(1, sizeof(*room));
    assert_non_null(room);
    failure = *state;
    room_make(room);
    room->tuning.pull_tries = 2;
    if (failure->deed == SHUT_DOWN || failure->oom_flag_missed)
        room->tuning.hold_ms = DOCKER_ROOM_WAIT_MS;
    if (failure->deed == STAYS_AWAY)
        room->tuning.away_ms_max = 50;
    if (failure->deed == PAUSED)
        room->tuning.look_ms = 5;
    room_open(room);
    *state = room;
    return 0;
}

static void start(struct docker_room *room, struct hd_attempt_ref attempt)
{
    struct hd_engine_job job = room_job(room, "run", NULL);
    job.attempt = attempt;
    if (failure->image != NULL) {
        (void)hd_copy_text(elsewhere, sizeof(elsewhere), failure->image);
        job.image = elsewhere;
    }
    job.timeout_ms = failure->deed == LATE ? 20 : 0;
    room_start(room, &job);
}

static void await_running(struct docker_room *room)
{
    fake_docker_await_running(room->fake, room->name);
    fake_docker_await(room->fake, FAKE_LOGS, 1);
}

static void end(struct docker_room *room)
{
    fake_docker_exit(room->fake, room->name, failure->exit_code, failure->oom);
}

static void come_back_and_end(struct docker_room *room)
{
    int waits = fake_docker_count(room->fake, FAKE_WAIT);
    fake_docker_come_back(room->fake);
    fake_docker_await(room->fake, FAKE_WAIT, waits + 1);
    end(room);
}

static void happen(struct docker_room *room)
{
    switch (failure->deed) {
    case ENDS:
        if (failure->oom_flag_missed)
            fake_docker_forget_oom_flag(room->fake);
        if (failure->says != NULL)
            fake_docker_say(room->fake, room->name, failure->says);
        end(room);
        break;
    case REFUSED:
    case LATE:
        break;
    case STOPPED:
        hd_engine_stop(room->engine, docker_room_attempt, 0);
        break;
    case SHUT_DOWN:
        end(room);
        fake_docker_await(room->fake, FAKE_EVENTS, 1);
        fake_docker_crash(room->fake);
        break;
    case CRASHED:
        fake_docker_crash(room->fake);
        end(room);
        fake_docker_come_back(room->fake);
        break;
    case LIVES_ON:
        fake_docker_crash(room->fake);
        come_back_and_end(room);
        break;
    case UPGRADED:
        fake_docker_crash(room->fake);
        fake_docker_set_version(room->fake, "1.52", 44);
        come_back_and_end(room);
        break;
    case UPGRADED_IDLE:
        end(room);
        break;
    case STAYS_AWAY:
        fake_docker_crash(room->fake);
        break;
    case REMOVED:
        fake_docker_remove(room->fake, room->name);
        break;
    case PAUSED: {
        int looks = fake_docker_count(room->fake, FAKE_INSPECT);
        fake_docker_pause(room->fake, room->name);
        fake_docker_await(room->fake, FAKE_INSPECT, looks + 2);
        room_assert_no_end(room);
        end(room);
        break;
    }
    }
}

/* The outcome is the one of the table, and the message says what happened and what to do. */
static void a_failure(void **state)
{
    struct docker_room *room = *state;
    static const char good[] = "{\"loss\": 0.5}";
    const char *at = strchr(failure->message, '@');
    char message[HD_MESSAGE_MAX], wanted[HD_MESSAGE_MAX];
    struct hd_loss loss;
    struct hd_result result;
    if (failure->deed == REFUSED)
        fake_docker_fail(room->fake, failure->route, failure->status, failure->body, 2);
    if (failure->deed == UPGRADED_IDLE)
        fake_docker_set_version(room->fake, "1.52", 44);
    start(room, docker_room_attempt);
    if (failure->deed != REFUSED && failure->deed != LATE)
        await_running(room);
    happen(room);
    struct hd_engine_end end = room_end(room, 7);
    if (failure->deed == SHUT_DOWN || failure->deed == STAYS_AWAY)
        fake_docker_come_back(room->fake);
    bool well = failure->outcome == HD_OUTCOME_OK;
    hd_loss_parse(well ? good : "", well ? sizeof(good) - 1 : 0, NULL, &loss);
    hd_classify(&end, &loss, NULL, HD_OUTCOME_CANCELLED, &result, message, sizeof(message));
    (void)hd_format(wanted, sizeof(wanted), "%.*s%s%s", (int)strcspn(failure->message, "@"),
                    failure->message, at != NULL ? room->dir : "", at != NULL ? at + 1 : "");
    if (result.outcome != failure->outcome || !hd_streq(message, wanted))
        fail_msg("%s: %s", hd_outcome_name(result.outcome), message);
}

/* However long each takes: the second is asked for while the first has no answer. */
static void stops_do_not_wait_for_one_another(void **state)
{
    struct docker_room *room = *state;
    char second[HD_ENGINE_NAME_MAX];
    const struct hd_attempt_ref other = {0xabc, 8, 1};
    hd_docker_container_name(other, second, sizeof(second));
    start(room, docker_room_attempt);
    start(room, other);
    fake_docker_await_running(room->fake, room->name);
    fake_docker_await_running(room->fake, second);
    fake_docker_await(room->fake, FAKE_LOGS, 2);
    fake_docker_hang_stops(room->fake);
    hd_engine_stop(room->engine, docker_room_attempt, DOCKER_ROOM_WAIT_MS);
    hd_engine_stop(room->engine, other, DOCKER_ROOM_WAIT_MS);
    fake_docker_await(room->fake, FAKE_STOP, 2);
    hd_engine_stop(room->engine, docker_room_attempt, 0);
    assert_true(room_end(room, 7).stopped);
    hd_engine_stop(room->engine, other, 0);
    assert_true(room_end(room, 8).stopped);
}

/* Five minutes without an engine lose nothing. */
static void five_minutes_are_waited_for(void **state)
{
    (void)state;
    assert_true(hd_docker_tuning_default.away_ms_max >= 2 * 5 * 60 * 1000);
    assert_true(hd_docker_tuning_default.backoff_ms_max <= 10000);
}

int main(void)
{
    static const struct failure none = {.deed = STOPPED};
    struct CMUnitTest tests[HD_COUNT(failures) + 2];
    for (size_t i = 0; i < HD_COUNT(failures); i++)
        tests[i] = (struct CMUnitTest){.name = failures[i].name,
                                       .test_func = a_failure,
                                       .setup_func = setup,
                                       .teardown_func = room_teardown,
                                       .initial_state = (void *)(uintptr_t)&failures[i]};
    tests[HD_COUNT(failures)] = (struct CMUnitTest)cmocka_unit_test(five_minutes_are_waited_for);
    tests[HD_COUNT(failures) + 1] =
        (struct CMUnitTest){.name = "stops_do_not_wait_for_one_another",
                            .test_func = stops_do_not_wait_for_one_another,
                            .setup_func = setup,
                            .teardown_func = room_teardown,
                            .initial_state = (void *)(uintptr_t)&none};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
