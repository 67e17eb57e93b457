/* SPDX-License-Identifier: Apache-2.0 */
/* hd doctor: will it work on this machine, and with those others? Changes nothing. */
#include "doctor.h"

#include "commands.h"
#include "common/cli.h"

#include <hd/engine.h>
#include <hd/pki.h>
#include <hd/reader.h>

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <unistd.h>

#define CONTROLLERS_BYTES_MAX 4096
#define VERSION_BYTES_MAX 4096
#define QUEUE_ITEMS 16

struct patient {
    struct cli_common common;
    const char *work_dir;
    struct doctor doctor;
};

/* ---- programs ---------------------------------------------------------------------------------
 */

/* The answer of PROGRAM --version, without its name. */
static enum hd_code ask_version(const char *path, const char *name, const char *log,
                                char *ret_version, size_t size, struct hd_err *err)
{
    pid_t pid;
    int status = 0;
    struct hd_buf text;
    enum hd_code code =
        hd_spawn((const char *const[]){path, "--version", NULL}, log, false, &pid, err);
    if (code != HD_OK)
        return code;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    hd_buf_init(&text, VERSION_BYTES_MAX + 1);
    code = hd_file_read(log, VERSION_BYTES_MAX, true, &text, err);
    const char *said = hd_buf_text(&text);
    size_t name_size = strlen(name);
    if (code == HD_OK && (status != 0 || strncmp(said, name, name_size) != 0))
        code = hd_fail(err, HD_E_VERSION, "%s --version fails", path);
    if (code == HD_OK)
        (void)hd_format(ret_version, size, "%.*s", (int)strcspn(said + name_size + 1, "\n"),
                        said + name_size + 1);
    hd_buf_release(&text);
    return code;
}

static void check_programs(struct patient *patient)
{
    static const char *const names[] = {"hd-master", "hd-worker", "hd-nameserver"};
    for (size_t i = 0; i < HD_COUNT(names); i++) {
        struct hd_err err;
        char version[64] = "", log[] = "/tmp/hd-doctor-XXXXXX", *path = NULL;
        int fd = mkstemp(log);
        enum hd_code code = fd >= 0 ? hd_sibling_program(names[i], &path, &err)
                                    : hd_fail(&err, HD_E_IO, "/tmp: %s", strerror(errno));
        if (code == HD_OK)
            code = ask_version(path, names[i], log, version, sizeof(version), &err);
        if (code == HD_OK)
            doctor_judge_version(&patient->doctor, path, HD_VERSION, version);
        else
            doctor_todo(doctor_add(&patient->doctor, "version", DOCTOR_FAIL, "%s", err.text),
                        "install Hyperdock whole: its programs belong together");
        if (fd >= 0) {
            close(fd);
            (void)unlink(log);
        }
        hd_free(path);
    }
}

/* ---- engine -----------------------------------------------------------------------------------
 */

static void check_engine(struct patient *patient)
{
    struct hd_err err;
    struct hd_queue *queue = NULL;
    struct hd_engine *engine = NULL;
    struct hd_engine_options options = {.worker = "hd-doctor", .state_dir = "/tmp"};
    enum hd_code code = hd_queue_new(QUEUE_ITEMS, &queue, &err);
    options.queue = queue;
    if (code == HD_OK)
        code = hd_engine_open_docker(&options, &engine, &err);
    const char *host = getenv("DOCKER_HOST");
    if (code == HD_OK)
        (void)doctor_add(&patient->doctor, "engine", DOCTOR_OK, "the Docker engine at %s answers",
                         host != NULL && host[0] != '\0' ? host : "its usual socket");
    else
        doctor_todo(doctor_add(&patient->doctor, "engine", DOCTOR_WARN, "%s", err.text),
                    "start it, or add this user to its group, or set DOCKER_HOST; targets that are "
                    "commands need none (--engine process)");
    hd_engine_close(engine);
    hd_queue_free(queue);
}

static void check_cgroups(struct patient *patient)
{
    struct hd_buf buf;
    struct hd_err ignored;
    hd_buf_init(&buf, CONTROLLERS_BYTES_MAX + 1);
    bool there = hd_file_read("/sys/fs/cgroup/cgroup.controllers", CONTROLLERS_BYTES_MAX, false,
                              &buf, &ignored) == HD_OK;
    doctor_judge_cgroups(&patient->doctor, there ? hd_buf_text(&buf) : NULL);
    hd_buf_release(&buf);
}

/* ---- directories ------------------------------------------------------------------------------
 */

/* The directory itself or the nearest one above it that exists. */
static bool nearest_directory(const char *path, char *ret_path, size_t size)
{
    char *absolute = NULL;
    struct stat st;
    if (hd_path_absolute(NULL, path, &absolute, NULL) != HD_OK)
        return false;
    bool fits = hd_copy_text(ret_path, size, absolute);
    hd_free(absolute);
    while (fits && stat(ret_path, &st) != 0) {
        char *slash = strrchr(ret_path, '/');
        if ((errno != ENOENT && errno != ENOTDIR) || slash == NULL)
            return false;
        slash[slash == ret_path ? 1 : 0] = '\0';
    }
    return fits;
}

static void check_directory(struct patient *patient, const char *what, const char *path)
{
    struct doctor *doctor = &patient->doctor;
    char there[CLI_PATH_MAX];
    struct stat st;
    struct statvfs fs;
    if (!nearest_directory(path, there, sizeof(there)) || stat(there, &st) != 0) {
        doctor_todo(
            doctor_add(doctor, "directory", DOCTOR_FAIL, "%s %s: %s", what, path, strerror(errno)),
            "name another one");
        return;
    }
    if (!S_ISDIR(st.st_mode) || access(there, R_OK | W_OK | X_OK) != 0) {
        doctor_todo(doctor_add(doctor, "directory", DOCTOR_FAIL, "%s %s: %s %s", what, path, there,
                               S_ISDIR(st.st_mode) ? "is not writable for this user"
                                                   : "is not a directory"),
                    "name another one, or let this user write there");
        return;
    }
    bool open_to_all = (st.st_mode & 002) != 0 && (st.st_mode & S_ISVTX) == 0;
    struct doctor_line *line =
        doctor_add(doctor, "directory", open_to_all ? DOCTOR_WARN : DOCTOR_OK, "%s %s: %s%s", what,
                   path, hd_streq(there, path) || hd_path_exists(path) ? "writable" : "can be made",
                   open_to_all ? ", by everybody" : "");
    if (open_to_all)
        doctor_todo(line, "run `chmod o-w %s`: others can exchange files there", there);
    if (statvfs(there, &fs) == 0)
        doctor_judge_disk(doctor, what, there, (uint64_t)fs.f_bavail * fs.f_frsize,
                          (uint64_t)fs.f_blocks * fs.f_frsize, (uint64_t)fs.f_favail,
                          (uint64_t)fs.f_files);
}

static void check_store(struct patient *patient, const char *state_dir)
{
    struct doctor *doctor = &patient->doctor;
    struct hd_reader *reader = NULL;
    struct hd_err err;
    struct stat st;
    enum hd_code code = hd_reader_open(state_dir, &reader, &err);
    if (code == HD_E_NOTFOUND) {
        (void)doctor_add(doctor, "store", DOCTOR_SKIP, "no run has been started in %s", state_dir);
        return;
    }
    if (code != HD_OK) {
        doctor_todo(doctor_add(doctor, "store", DOCTOR_FAIL, "%s", err.text),
                    code == HD_E_VERSION ? "use the newer programs" : "see hd fsck %s", state_dir);
        return;
    }
    bool private = stat(hd_reader_path(reader), &st) == 0 && (st.st_mode & 077) == 0;
    struct doctor_line *line =
        doctor_add(doctor, "store", private ? DOCTOR_OK : DOCTOR_WARN, "%s: format %" PRId64 "%s",
                   hd_reader_path(reader), hd_reader_version(reader),
                   private ? "" : ", and others can read it");
    if (!private)
        doctor_todo(line, "run `chmod 600 %s`: experiments may hold secrets",
                    hd_reader_path(reader));
    hd_reader_close(reader);
}

/* ---- secrets ----------------------------------------------------------------------------------
 */

/* Who works on one machine only needs no token of his own, and hd run makes one for its processes.
 */
static bool asks_others(const struct cli_remote *remote)
{
    return remote->nameserver != NULL || remote->master != NULL || remote->token_file != NULL ||
           getenv("HYPERDOCK_TOKEN_FILE") != NULL;
}

static void check_token(struct patient *patient)
{
    struct doctor *doctor = &patient->doctor;
    struct hd_key keys[HD_KEYS_MAX];
    size_t count = 0;
    char *path = NULL;
    struct hd_err err;
    enum hd_code code = hd_token_find(patient->common.remote.token_file, &path, &err);
    if (code == HD_OK)
        code = hd_keys_read(path, keys, &count, &err);
    if (code == HD_OK)
        (void)doctor_add(doctor, "token", DOCTOR_OK, "%s: %zu, mode 0600", path, count);
    else if (code == HD_E_NOTFOUND && path != NULL && !asks_others(&patient->common.remote))
        (void)doctor_add(doctor, "token", DOCTOR_SKIP,
                         "%s is not there: hd run needs none, hd-nameserver makes it", path);
    else
        doctor_todo(doctor_add(doctor, "token", DOCTOR_FAIL, "%s", err.text),
                    code == HD_E_NOTFOUND
                        ? "on the nameserver's machine its first start makes one; elsewhere copy "
                          "that file here, mode 0600"
                        : "copy the token file of the nameserver's machine here, mode 0600");
    int64_t now_s = hd_clock_wall_ms() / 1000;
    if (code == HD_OK && keys[0].until_wall_s > 0 && keys[0].until_wall_s <= now_s)
        doctor_todo(doctor_add(doctor, "token", DOCTOR_FAIL, "%s: its first token has ended", path),
                    "get the new token file");
    hd_free(path);
    explicit_bzero(keys, sizeof(keys));
}

static void check_key_mode(struct doctor *doctor, const char *path)
{
    struct stat st;
    if (stat(path, &st) == 0 && (st.st_mode & 077) != 0)
        doctor_todo(doctor_add(doctor, "tls", DOCTOR_FAIL, "others can read the key %s (mode %03o)",
                               path, (unsigned)(st.st_mode & 0777)),
                    "run `chmod 600 %s`", path);
}

static void check_cert(struct doctor *doctor, const char *cert, const char *ca, int64_t now_s)
{
    struct hd_pki_info info;
    struct hd_err err;
    if (hd_pki_read(cert, ca, &info, &err) != HD_OK) {
        doctor_todo(doctor_add(doctor, "tls", DOCTOR_FAIL, "%s", err.text), "see hd tls --help");
        return;
    }
    doctor_judge_expiry(doctor, cert, now_s, info.from_wall_s, info.until_wall_s);
    if (ca != NULL && !info.signed_by_ca)
        doctor_todo(doctor_add(doctor, "tls", DOCTOR_FAIL, "%s was not signed by %s", cert, ca),
                    "take the certificate and the CA of one cluster");
}

static void check_tls(struct patient *patient)
{
    const struct hd_net_security *tls = &patient->common.remote.security;
    struct doctor *doctor = &patient->doctor;
    struct hd_err err;
    int64_t now_s = hd_clock_wall_ms() / 1000;
    if (!hd_net_has_tls()) {
        doctor_todo(doctor_add(doctor, "tls", DOCTOR_WARN, "this build of nng has no TLS"),
                    "use the distribution's package, or a VPN with --plaintext");
        return;
    }
    if (tls->cert_file == NULL && tls->key_file == NULL && tls->ca_file == NULL) {
        (void)doctor_add(doctor, "tls", DOCTOR_OK,
                         "available; no --cert, --key, --ca were given to look at");
        return;
    }
    if ((tls->cert_file == NULL) != (tls->key_file == NULL))
        doctor_todo(doctor_add(doctor, "tls", DOCTOR_FAIL, "--cert and --key belong together"),
                    "give both");
    if (tls->cert_file != NULL)
        check_cert(doctor, tls->cert_file, tls->ca_file, now_s);
    if (tls->ca_file != NULL)
        check_cert(doctor, tls->ca_file, NULL, now_s);
    if (tls->key_file != NULL)
        check_key_mode(doctor, tls->key_file);
    if (tls->cert_file != NULL && tls->key_file != NULL &&
        hd_pki_check_pair(tls->cert_file, tls->key_file, &err) != HD_OK)
        doctor_todo(doctor_add(doctor, "tls", DOCTOR_FAIL, "%s", err.text), "give the key of it");
}

/* ---- the machine ------------------------------------------------------------------------------
 */

static void check_machine(struct patient *patient)
{
    struct rlimit files;
    struct timex state = {.modes = 0};
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        doctor_judge_files(&patient->doctor, files.rlim_cur, files.rlim_max);
    int answer = adjtimex(&state);
    if (answer < 0)
        (void)doctor_add(&patient->doctor, "clock", DOCTOR_SKIP,
                         "the kernel does not tell whether it is synchronised");
    else if (answer == TIME_ERROR || (state.status & STA_UNSYNC) != 0)
        doctor_todo(
            doctor_add(&patient->doctor, "clock", DOCTOR_WARN, "this clock is not synchronised"),
            "set it by NTP (chrony, systemd-timesyncd)");
    else
        (void)doctor_add(&patient->doctor, "clock", DOCTOR_OK, "synchronised");
}

/* ---- the others -------------------------------------------------------------------------------
 */

/* Only where nobody was named: is there a nameserver already, or is its port free for one? */
static void check_port(struct patient *patient)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(HD_NET_NAMESERVER_PORT),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    bool is_free = bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
    (void)doctor_add(
        &patient->doctor, "port", DOCTOR_OK,
        is_free ? "%d is free for a nameserver"
                : "%d is taken: a nameserver may run here (--nameserver 127.0.0.1 asks it)",
        HD_NET_NAMESERVER_PORT);
    close(fd);
}

/* What the master says of itself. */
static void check_master(struct patient *patient, const struct cli_master *master)
{
    struct hd_err err;
    struct hd_value *about = NULL;
    struct hd_request request = {
        .kind = HD_REQUEST_VIEW, .run_id = "", .view = "about", .view_json = ""};
    int64_t before_ms = hd_clock_ms();
    enum hd_code code = cli_master_call(master, &request, &about, &err);
    int64_t took_ms = hd_clock_ms() - before_ms;
    if (code != HD_OK) {
        doctor_todo(doctor_add(&patient->doctor, "master", DOCTOR_FAIL, "%s", err.text),
                    code == HD_E_AUTH
                        ? "give the token file that it knows (--token-file)"
                        : "is it running there, and do firewalls let this port pass?");
        return;
    }
    (void)doctor_add(&patient->doctor, "master", DOCTOR_OK, "%s answers in %" PRId64 " ms",
                     master->address, took_ms);
    doctor_judge_version(&patient->doctor, "the master", HD_VERSION, cli_text(about, "version"));
    int64_t theirs_ms = cli_integer(about, "wall_ms");
    doctor_judge_skew(&patient->doctor, "the master", hd_clock_wall_ms() - took_ms / 2 - theirs_ms,
                      took_ms / 2 + 1);
    hd_value_free(about);
}

static void check_others(struct patient *patient)
{
    const struct cli_remote *remote = &patient->common.remote;
    struct hd_err err;
    struct cli_master *master = hd_calloc(1, sizeof(*master));
    const char *state_dir = cli_state_dir(patient->common.state_dir);
    const char *run = patient->common.run != NULL ? patient->common.run : "";
    bool named = remote->nameserver != NULL || remote->master != NULL;
    if (master == NULL)
        return;
    enum hd_code code = named ? cli_master_find(remote, run, master, &err)
                              : cli_master_of_state(state_dir, master, &err);
    if (named && remote->nameserver != NULL) {
        bool answers = code == HD_OK || code == HD_E_NOTFOUND || code == HD_E_CONFLICT;
        struct doctor_line *line =
            doctor_add(&patient->doctor, "nameserver", answers ? DOCTOR_OK : DOCTOR_FAIL, "%s%s%s",
                       answers ? remote->nameserver : "", answers ? ": " : "",
                       code == HD_OK ? "answers" : err.text);
        if (!answers)
            doctor_todo(line, code == HD_E_AUTH
                                  ? "give the token file that it knows (--token-file)"
                                  : "is hd-nameserver running there, and do firewalls let "
                                    "its port pass?");
    } else if (!named) {
        check_port(patient);
    }
    if (code == HD_OK)
        check_master(patient, master);
    else if (remote->master != NULL)
        (void)doctor_add(&patient->doctor, "master", DOCTOR_FAIL, "%s", err.text);
    else
        (void)doctor_add(&patient->doctor, "master", DOCTOR_SKIP,
                         "none to ask: no master serves %s now", named ? "there" : state_dir);
    hd_free(master);
}

/* ---- telling ----------------------------------------------------------------------------------
 */

static void print_lines(const struct doctor *doctor)
{
    for (size_t i = 0; i < doctor->count; i++) {
        const struct doctor_line *line = &doctor->lines[i];
        printf("%-5s %-11s %s\n", doctor_status_name(line->status), line->check, line->text);
        if (line->todo[0] != '\0')
            printf("%-5s %-11s -> %s\n", "", "", line->todo);
    }
}

static enum hd_code line_value(const struct doctor_line *line, struct hd_value *list,
                               struct hd_err *err)
{
    struct hd_value *object = hd_value_new_object();
    bool good = hd_value_append(list, object) == HD_OK; /* takes it, also on failure */
    const struct {
        const char *key, *text;
    } members[] = {{"check", line->check},
                   {"status", doctor_status_name(line->status)},
                   {"text", line->text},
                   {"todo", line->todo}};
    for (size_t i = 0; i < HD_COUNT(members) && good; i++)
        good = hd_value_set(object, members[i].key, hd_value_new_string(members[i].text)) == HD_OK;
    return good ? HD_OK : hd_fail(err, HD_E_NOMEM, "no memory");
}

static enum hd_code print_json(const struct doctor *doctor, struct hd_err *err)
{
    struct hd_value *object = hd_value_new_object(), *list = hd_value_new_array();
    enum hd_code code = HD_OK;
    if (object == NULL ||
        hd_value_set(object, "well", hd_value_new_bool(!doctor_failed(doctor))) != HD_OK) {
        hd_value_free(list);
        code = hd_fail(err, HD_E_NOMEM, "no memory");
    } else if (hd_value_set(object, "checks", list) != HD_OK) {
        code = hd_fail(err, HD_E_NOMEM, "no memory");
    }
    for (size_t i = 0; i < doctor->count && code == HD_OK; i++)
        code = line_value(&doctor->lines[i], list, err);
    if (code == HD_OK)
        code = cli_print_json(object, HD_JSON_PRETTY, err);
    hd_value_free(object);
    return code;
}

static int examine(struct patient *patient)
{
    struct hd_err err;
    const char *state_dir = cli_state_dir(patient->common.state_dir);
    check_programs(patient);
    check_engine(patient);
    check_cgroups(patient);
    check_directory(patient, "state directory", state_dir);
    check_store(patient, state_dir);
    if (patient->work_dir != NULL)
        check_directory(patient, "work directory", patient->work_dir);
    check_token(patient);
    check_tls(patient);
    check_machine(patient);
    check_others(patient);
    if (!patient->common.json)
        print_lines(&patient->doctor);
    else if (print_json(&patient->doctor, &err) != HD_OK)
        return cli_fail(&err);
    return doctor_failed(&patient->doctor) ? HD_EXIT_FAILED : HD_EXIT_OK;
}

int cmd_doctor(int argc, char **argv)
{
    static struct patient patient;
    struct cli_common *common = &patient.common;
    const struct hd_option options[] = {
        {.name = "work-dir",
         .kind = HD_OPTION_TEXT,
         .value = &patient.work_dir,
         .hint = "DIR",
         .help = "the work root that a worker here would have"},
        CLI_COMMON_OPTIONS(*common),
    };
    const struct hd_program program = {
        .name = "hd doctor",
        .summary = "will it work on this machine, and what to do when not",
        .usage = "hd doctor [options]",
        .options = options,
        .option_count = HD_COUNT(options),
        .epilogue =
            "Give it the options of the program that does not work: --nameserver, --token-file,\n"
            "--cert, --key, --ca, --state-dir, --work-dir.\n"
            "Exit status: 0 nothing failed (there may be warnings), 1 something did, 2 usage.",
    };
    enum hd_parse_answer answer = hd_options_parse(&program, argc, argv, NULL, NULL);
    if (answer != HD_PARSE_GO)
        return answer == HD_PARSE_EXIT_OK ? HD_EXIT_OK : HD_EXIT_USAGE;
    return examine(&patient);
}
