/* SPDX-License-Identifier: Apache-2.0 */
/* What the owner of a machine allows: no experiment gets around it, and a refusal names the rule.
 */
#include "testlib.h"

#include "policy.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct hd_err err;

static struct hd_policy *policy_of(const char *text)
{
    struct hd_policy *policy = NULL;
    assert_hd_ok(hd_policy_parse(text, strlen(text), "policy.yaml", &policy, &err));
    return policy;
}

/* ---- files ---------------------------------------------------------------------------------- */

static void what_is_wrong_in_the_file_is_said(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"[1]", "expected a map of rules"},
        {"image: [a]", "policy.yaml:1: image: unknown key, did you mean \"images\"?"},
        {"images: a", "policy.yaml:1: images: expected a list"},
        {"images: [1]", "images: expected texts"},
        {"images: ['']", "images: expected texts that are not empty"},
        {"engines: [lxc]", "engines: expected docker, podman or process"},
        {"mounts: [data]", "mounts: expected absolute paths"},
        {"privileged: 1", "privileged: expected true or false"},
        {"max: 3", "max: expected a map"},
        {"max: {cpu: 3}", "max.cpu: unknown key, did you mean \"cpus\"?"},
        {"max: {cpus: -1}", "cpus: expected a number above 0"},
        {"max: {cpus: .nan}", "cpus: expected a number above 0"},
        {"max: {memory: much}", "memory: expected a size"},
        {"max: {time: 1e300}", "time: expected a number above 0"},
        {"max: {time: 0s}", "time: expected a duration"},
        {"images: &a [b]", "policy.yaml"},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_policy *policy = NULL;
        enum hd_code code =
            hd_policy_parse(rows[i].text, strlen(rows[i].text), "policy.yaml", &policy, &err);
        if (code != HD_E_INVALID || strstr(err.text, rows[i].why) == NULL)
            fail_msg("%s: %s", rows[i].text, code == HD_OK ? "accepted" : err.text);
        assert_null(policy);
    }
}

static void a_file_that_is_too_long_is_refused(void **state)
{
    (void)state;
    struct hd_policy *policy = NULL;
    struct hd_buf buf;
    hd_buf_init(&buf, 2 * HD_POLICY_BYTES_MAX);
    assert_hd_ok(hd_buf_puts(&buf, "images: [", &err));
    for (int i = 0; i <= HD_POLICY_ENTRIES_MAX; i++)
        assert_hd_ok(hd_buf_puts(&buf, "a,", &err));
    assert_hd_ok(hd_buf_puts(&buf, "a]", &err));
    assert_hd_fails(hd_policy_parse(hd_buf_text(&buf), buf.size, "p", &policy, &err), HD_E_LIMIT,
                    "more than 256 entries");
    while (buf.size <= HD_POLICY_BYTES_MAX)
        assert_hd_ok(hd_buf_puts(&buf, "# nothing, at length, to the end of the line\n", &err));
    assert_hd_fails(hd_policy_parse(hd_buf_text(&buf), buf.size, "p", &policy, &err), HD_E_LIMIT,
                    "");
    hd_buf_release(&buf);
}

static void a_file_that_others_can_write_is_refused(void **state)
{
    (void)state;
    char path[] = "/tmp/hd-policy-XXXXXX";
    struct hd_policy *policy = NULL;
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, "engines: [docker]\n", 18) == 18 && close(fd) == 0);
    assert_hd_ok(hd_policy_load(path, &policy, &err));
    hd_policy_free(policy);
    policy = NULL;
    assert_int_equal(chmod(path, 0620), 0);
    assert_hd_fails(hd_policy_load(path, &policy, &err), HD_E_INVALID, "written by others");
    assert_int_equal(unlink(path), 0);
    assert_hd_fails(hd_policy_load(path, &policy, &err), HD_E_NOTFOUND, "No such file");
}

/* ---- judgements ----------------------------------------------------------------------------- */

static char text_host[] = "host", text_net[] = "lab", text_kata[] = "kata",
            text_cap[] = "NET_ADMIN";
static char *caps[] = {text_cap, NULL};
static char program_sh[] = "sh", *argv_sh[] = {program_sh, NULL};
static char program_odd[] = "./sh", *argv_odd[] = {program_odd, NULL};
static char env_key[] = "LD_PRELOAD", env_value[] = "evil.so";
static struct hd_key_value env[] = {{env_key, env_value}};

static const struct hd_container privileged = {.privileged = true};
static const struct hd_container host = {.network = text_host};
static const struct hd_container lab = {.network = text_net};
static const struct hd_container kata = {.runtime = text_kata};
static const struct hd_container admin = {.cap_add = caps};
static const struct hd_container shm = {.shm_bytes = 2u << 20};

static char text_back[] = "back", text_front[] = "front", text_own[] = "127.0.0.1::80/tcp",
            text_own6[] = "[::1]::80/tcp", text_all[] = "0.0.0.0:8080:80/tcp",
            text_almost[] = "[::10]:80:80/tcp";
static char *nets[] = {text_back, text_front, NULL}, *own_ports[] = {text_own, text_own6, NULL},
            *all_ports[] = {text_own, text_all, NULL}, *almost_own[] = {text_almost, NULL};
static const struct hd_container in_two = {.networks = nets};
static const struct hd_container published = {.ports = own_ports};
static const struct hd_container wide_open = {.ports = all_ports};
static const struct hd_container almost = {.ports = almost_own};

static void each_rule_refuses_by_its_name(void **state)
{
    (void)state;
    static const struct {
        const char *policy; /* NULL: none */
        struct hd_engine_job job;
        bool loader;      /* the experiment sets LD_PRELOAD */
        const char *rule; /* NULL: allowed */
    } rows[] = {
        {NULL, {.image = "any"}, false, NULL},
        {NULL, {.image = "any", .container = &privileged}, false, "rule privileged"},
        {NULL, {.image = "any", .container = &host}, false, "rule host_network"},
        {NULL, {.image = "any", .container = &admin}, false, "rule capabilities"},
        {NULL, {.image = "any", .container = &kata}, false, NULL},
        {"", {.image = "any", .container = &privileged}, false, "rule privileged"},
        {"privileged: true", {.image = "any", .container = &privileged}, false, NULL},
        {"host_network: true", {.image = "any", .container = &host}, false, NULL},
        {"networks: [none]", {.image = "any", .container = &lab}, false, "rule networks"},
        {"networks: [l*]", {.image = "any", .container = &lab}, false, NULL},
        {"networks: ['*']", {.image = "any", .container = &host}, false, "rule host_network"},
        {"runtimes: [runc]", {.image = "any", .container = &kata}, false, "rule runtimes"},
        {"runtimes: [runc]", {.image = "any"}, false, NULL},
        {"capabilities: [SYS_NICE]",
         {.image = "a", .container = &admin},
         false,
         "rule capabilities"},
        {"capabilities: [NET_ADMIN]", {.image = "a", .container = &admin}, false, NULL},
        {NULL, {.image = "a", .container = &in_two}, false, NULL},
        {"networks: [back]", {.image = "a", .container = &in_two}, false, "rule networks: front"},
        {"networks: [back, f*]", {.image = "a", .container = &in_two}, false, NULL},
        {NULL, {.image = "a", .container = &published}, false, NULL},
        {NULL, {.image = "a", .container = &wide_open}, false, "rule ports: 0.0.0.0:8080"},
        {NULL, {.image = "a", .container = &almost}, false, "rule ports"},
        {"ports: ['*:8080', '127.*']", {.image = "a", .container = &wide_open}, false, NULL},
        {"ports: ['*:8081']", {.image = "a", .container = &wide_open}, false, "rule ports"},
        {"ports: []", {.image = "a", .container = &published}, false, "rule ports"},
        {"engines: [process]", {.image = "any"}, false, "rule engines"},
        {"engines: [docker]", {.argv = argv_sh}, false, "rule engines"},
        {"engines: [docker]", {.image = "a", .engine = "podman"}, false, "rule engines: podman"},
        {"engines: [podman]", {.image = "a", .engine = "podman"}, false, NULL},
        {"builds: false", {.image = "a", .handed_by = "tcp://m:1"}, false, "rule builds"},
        {"builds: true", {.image = "a", .handed_by = "tcp://m:1"}, false, NULL},
        {"images: [b]", {.image = "a", .handed_by = "tcp://m:1"}, false, "rule images"},
        {"builds: false", {.image = "a"}, false, NULL},
        {"images: []", {.image = "any"}, false, "rule images"},
        {"images: [ghcr.io/me/*]", {.image = "ghcr.io/me/it:1"}, false, NULL},
        {"images: [ghcr.io/me/*]", {.image = "ghcr.io/meow/it"}, false, "rule images"},
        {"images: [ghcr.io/me/*]", {.image = "evil/ghcr.io/me/it"}, false, "rule images"},
        {"images: ['python:3.?']", {.image = "python:3.12"}, false, "rule images"},
        {"commands: [/nothing]", {.argv = argv_sh}, false, "rule commands"},
        {"commands: [sh]", {.argv = argv_sh}, false, NULL},
        {"commands: [sh]", {.argv = argv_sh}, true, "may not set LD_PRELOAD"},
        {"commands: [sh]", {.argv = argv_odd, .cwd = "/bin"}, false, "rule commands"},
        {"commands: [sh]", {.argv = argv_odd, .cwd = "/nowhere"}, false, "no program ./sh"},
        {"max: {cpus: 2}", {.image = "a", .cpus = 2.5}, false, "rule max.cpus"},
        {"max: {memory: 1MiB}", {.image = "a", .memory_bytes = 1048577}, false, "rule max.memory"},
        {"max: {shm: 1MiB}", {.image = "a", .container = &shm}, false, "rule max.shm"},
        {"max: {pids: 9}", {.image = "a", .pids = 10}, false, "rule max.pids"},
        {"max: {time: 1m}", {.image = "a", .timeout_ms = 61000}, false, "rule max.time"},
        {"max: {time: 1m}", {.image = "a", .timeout_ms = 60000}, false, NULL},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_policy *policy = rows[i].policy != NULL ? policy_of(rows[i].policy) : NULL;
        struct hd_engine_job job = rows[i].job;
        struct hd_experiment experiment = {.target = {.env = env, .env_count = rows[i].loader}};
        static char directory[] = "./built";
        experiment.target.build = job.handed_by != NULL ? directory : NULL;
        struct hd_arena *arena = NULL;
        assert_hd_ok(hd_arena_new(65536, &arena, &err));
        err.text[0] = '\0';
        enum hd_code code = hd_policy_apply(policy, &experiment, arena, &job, &err);
        bool good = rows[i].rule == NULL
                        ? code == HD_OK
                        : code == HD_E_UNSUPPORTED && strstr(err.text, rows[i].rule) != NULL;
        if (!good)
            fail_msg("row %zu (%s): %s", i, rows[i].policy, code == HD_OK ? "allowed" : err.text);
        hd_arena_free(arena);
        hd_policy_free(policy);
    }
}

static void code_comes_from_masters_unless_a_rule_says_no(void **state)
{
    (void)state;
    static char directory[] = "./src";
    const struct hd_experiment with_code = {.target = {.code = directory}}, without = {0};
    struct hd_engine_job job = {.image = "a"};
    struct hd_policy *no = policy_of("code: false"), *yes = policy_of("code: true");
    assert_hd_fails(hd_policy_code(no, &err), HD_E_UNSUPPORTED, "rule code");
    assert_hd_fails(hd_policy_apply(no, &with_code, NULL, &job, &err), HD_E_UNSUPPORTED,
                    "rule code");
    assert_hd_ok(hd_policy_apply(no, &without, NULL, &job, &err));
    assert_hd_ok(hd_policy_apply(yes, &with_code, NULL, &job, &err));
    assert_hd_ok(hd_policy_code(NULL, &err));
    hd_policy_free(no);
    hd_policy_free(yes);
}

static void what_a_job_leaves_open_is_limited(void **state)
{
    (void)state;
    struct hd_policy *policy = policy_of("max: {cpus: 2, memory: 1GiB, pids: 9, time: 90s}");
    const struct hd_experiment experiment = {0};
    struct hd_engine_job job = {.image = "a", .cpus = 1};
    assert_hd_ok(hd_policy_apply(policy, &experiment, NULL, &job, &err));
    assert_true(job.cpus == 1 && job.memory_bytes == 1073741824 && job.pids == 9 &&
                job.timeout_ms == 90000);
    hd_policy_free(policy);
}

/* Root in a container could write to the worker's directories as root. */
static void a_worker_that_is_not_root_hands_on_its_own_user_only(void **state)
{
    (void)state;
    static char root[] = "root", zero[] = "0:0", mine[64], mine_in_root[64];
    const uid_t before = geteuid(), uid = before == 0 ? 65534 : before;
    const struct {
        const char *policy; /* NULL: none */
        char *user;
        bool allowed;
    } rows[] = {
        {NULL, root, false},
        {NULL, zero, false},
        {NULL, mine, true},
        {NULL, mine_in_root, false},
        {"privileged: true", root, false},
        {"users: [root]", root, true},
        {"users: ['0:*']", zero, true},
        {"users: [nobody]", root, false},
        {"users: []", mine, false},
    };
    assert_true(hd_format(mine, sizeof(mine), "%u", (unsigned)uid) &&
                hd_format(mine_in_root, sizeof(mine_in_root), "%u:%u", (unsigned)uid,
                          (unsigned)getegid() + 1));
    if (before == 0) {
        const struct hd_container container = {.user = root};
        struct hd_engine_job job = {.image = "a", .container = &container};
        assert_hd_ok(hd_policy_apply(NULL, NULL, NULL, &job, &err));
        assert_int_equal(seteuid(uid), 0);
    }
    size_t wrong = HD_COUNT(rows);
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_policy *policy = rows[i].policy != NULL ? policy_of(rows[i].policy) : NULL;
        const struct hd_experiment experiment = {0};
        const struct hd_container container = {.user = rows[i].user};
        struct hd_engine_job job = {.image = "a", .container = &container};
        enum hd_code code = hd_policy_apply(policy, &experiment, NULL, &job, &err);
        bool refused = code == HD_E_UNSUPPORTED && strstr(err.text, "rule users") != NULL;
        if (rows[i].allowed ? code != HD_OK : !refused)
            wrong = i;
        hd_policy_free(policy);
    }
    if (before == 0)
        assert_int_equal(seteuid(before), 0);
    assert_int_equal(wrong, HD_COUNT(rows));
}

/* It keeps the name that it was called by: programs of many names go by it. */
static void a_command_runs_from_where_it_was_found(void **state)
{
    (void)state;
    struct hd_policy *policy = policy_of("commands: [sh]");
    const struct hd_experiment experiment = {0};
    struct hd_engine_job job = {.argv = argv_sh};
    struct hd_arena *arena = NULL;
    assert_hd_ok(hd_arena_new(65536, &arena, &err));
    assert_hd_ok(hd_policy_apply(policy, &experiment, arena, &job, &err));
    assert_int_equal(job.program[0], '/');
    assert_string_equal(job.argv[0], "sh");
    assert_null(job.argv[1]);
    hd_arena_free(arena);
    hd_policy_free(policy);
}

static void data_stays_below_its_roots_whatever_links_say(void **state)
{
    (void)state;
    char dir[] = "/tmp/hd-policy-XXXXXX", path[256], inside[256], text[300], file[256];
    struct hd_policy *policy = NULL;
    char *real = NULL;
    assert_non_null(mkdtemp(dir));
    assert_true(hd_format(inside, sizeof(inside), "%s/sets", dir) && mkdir(inside, 0700) == 0);
    assert_true(hd_format(file, sizeof(file), "%s/policy.yaml", dir));
    assert_true(hd_format(text, sizeof(text), "mounts: [%s]\n", inside));
    assert_hd_ok(hd_file_write_atomic(file, text, strlen(text), 0600, &err));
    assert_hd_ok(hd_policy_load(file, &policy, &err));
    assert_hd_ok(hd_policy_data(policy, inside, &real, &err));
    hd_free(real);
    assert_true(hd_format(path, sizeof(path), "%s/out", inside) && symlink("/etc", path) == 0);
    assert_hd_fails(hd_policy_data(policy, path, &real, &err), HD_E_UNSUPPORTED,
                    "rule mounts: /etc is below none");
    assert_true(hd_format(path, sizeof(path), "%s/../", inside));
    assert_hd_fails(hd_policy_data(policy, path, &real, &err), HD_E_UNSUPPORTED, "rule mounts");
    /* a name that only begins alike */
    assert_true(hd_format(path, sizeof(path), "%s2", inside) && mkdir(path, 0700) == 0);
    assert_hd_fails(hd_policy_data(policy, path, &real, &err), HD_E_UNSUPPORTED, "rule mounts");
    /* without rules it is resolved all the same */
    assert_hd_ok(hd_policy_data(NULL, path, &real, &err));
    hd_free(real);
    hd_policy_free(policy);
    assert_hd_ok(hd_remove_tree(dir, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_wrong_in_the_file_is_said),
        cmocka_unit_test(a_file_that_is_too_long_is_refused),
        cmocka_unit_test(a_file_that_others_can_write_is_refused),
        cmocka_unit_test(each_rule_refuses_by_its_name),
        cmocka_unit_test(what_a_job_leaves_open_is_limited),
        cmocka_unit_test(code_comes_from_masters_unless_a_rule_says_no),
        cmocka_unit_test(a_worker_that_is_not_root_hands_on_its_own_user_only),
        cmocka_unit_test(a_command_runs_from_where_it_was_found),
        cmocka_unit_test(data_stays_below_its_roots_whatever_links_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
