/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cluster on a network of its own: master, nameserver and eight workers, each in its network
 * namespace behind a bridge. For a while processes are killed and frozen, links are cut (in
 * silence, as a pulled cable) and made lossy, and the disk of the state is filled. Then all is
 * well, the run ends, and what the master accepted is compared with what the targets say.
 *
 *   HD_CHAOS_SECONDS=600  for how long (default 20)
 *   HD_CHAOS_SEED=N       repeats the moments of a seed
 *
 * Needs the right to make namespaces (root), iproute2 and nsenter; skipped without.
 */
#include "cluster.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define RUN "chaos"
#define WORKERS 8
#define NODES (WORKERS + 2)
#define PORT "7411"
#define SECONDS_DEFAULT 20
#define TROUBLES_MAX 4 /* at the same time */
#define CALM_S 8       /* of the run, after the storm: a short one may let nobody work */
#define DISK_SIZE "size=48m"
#define FILL_CHUNK 65536

enum node { NAMESERVER, MASTER, FIRST_WORKER };

enum trouble { NO_TROUBLE, KILLED, FROZEN, CUT, LOSSY, FULL, TROUBLE_COUNT };

struct node_state {
    pid_t holder; /* keeps the namespace */
    char space[64];
    char address[32];
    enum trouble trouble;
    int64_t until_ms;
};

static struct {
    struct cluster cluster;
    struct hd_rng rng;
    struct node_state nodes[NODES];
    enum trouble disk;
    int64_t disk_until_ms;
    bool netem, mounted;
    unsigned counts[TROUBLE_COUNT];
    struct results known;
    char *experiment;
    int64_t seconds;
} chaos;

static int64_t below(int64_t limit)
{
    return (int64_t)hd_rng_below(&chaos.rng, (uint64_t)limit);
}

/* ---- the network ---------------------------------------------------------------------------- */

/* Runs a tool to its end, in silence. */
static bool tool(const char *const argv[])
{
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int status;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    int failed =
        posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failed != 0)
        return false;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return false;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
#define TOOL(...) tool((const char *const[]){__VA_ARGS__, NULL})

static const char *number_text(const char *prefix, unsigned number)
{
    return cluster_text(&chaos.cluster, "%s%u", prefix, number);
}

/* A process that does nothing but keep a network namespace. */
static pid_t hold_namespace(void)
{
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        bool made = unshare(CLONE_NEWNET) == 0;
        if (made && write(ready[1], "", 1) != 1)
            _exit(1);
        close(ready[0]);
        close(ready[1]);
        while (made)
            pause();
        _exit(1);
    }
    close(ready[1]);
    bool made = read(ready[0], &byte, 1) == 1;
    close(ready[0]);
    return made ? pid : 0;
}

static bool make_node(unsigned n)
{
    struct node_state *node = &chaos.nodes[n];
    node->holder = hold_namespace();
    if (node->holder == 0)
        return false;
    snprintf(node->space, sizeof(node->space), "--net=/proc/%ld/ns/net", (long)node->holder);
    snprintf(node->address, sizeof(node->address), "10.77.0.%u", n + 2);
    const char *veth = number_text("v", n);
    const char *holder = cluster_text(&chaos.cluster, "%ld", (long)node->holder);
    const char *range = cluster_text(&chaos.cluster, "%s/24", node->address);
    return TOOL("ip", "link", "add", veth, "type", "veth", "peer", "name", "eth0", "netns",
                holder) &&
           TOOL("ip", "link", "set", veth, "master", "bridge0", "up") &&
           TOOL("nsenter", node->space, "ip", "addr", "add", range, "dev", "eth0") &&
           TOOL("nsenter", node->space, "ip", "link", "set", "eth0", "up") &&
           TOOL("nsenter", node->space, "ip", "link", "set", "lo", "up");
}

/* This process moves into namespaces of its own: what it makes goes with it. */
static bool make_network(void)
{
    if (unshare(CLONE_NEWNET | CLONE_NEWNS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        !TOOL("ip", "link", "add", "bridge0", "type", "bridge") ||
        !TOOL("ip", "link", "set", "bridge0", "up"))
        return false;
    for (unsigned n = 0; n < NODES; n++)
        if (!make_node(n))
            return false;
    chaos.netem = TOOL("tc", "qdisc", "add", "dev", "v0", "root", "netem", "delay", "1ms") &&
                  TOOL("tc", "qdisc", "del", "dev", "v0", "root");
    return true;
}

/* ---- the programs --------------------------------------------------------------------------- */

static void write_experiment(void)
{
    struct cluster *cluster = &chaos.cluster;
    chaos.experiment = cluster_path(cluster, "experiment.yaml");
    test_file_write(chaos.experiment,
                    cluster_text(cluster,
                                 "name: %s\n"
                                 "target:\n"
                                 "  command: ['%s', '%s', '150', '40']\n"
                                 "  retries: {infra: 100, failed: 0}\n"
                                 "objective: loss\n"
                                 "space:\n"
                                 "  x: {type: float, low: 0.0, high: 1.0}\n"
                                 "  units: {type: int, low: 8, high: 4096, log: true}\n"
                                 "iteration_generator: {name: asha, eta: 3}\n"
                                 "budget: {min: 1, max: 9}\n"
                                 "stop: {time: %" PRId64 "s}\n"
                                 "lease: 3s\nping: 500ms\nholder_wait: 1s\n",
                                 RUN, cluster_program("HD_TEST_TARGET"), cluster->ledger,
                                 chaos.seconds + CALM_S));
}

static struct child *child_of(unsigned n)
{
    return cluster_child(&chaos.cluster, n == NAMESERVER ? "nameserver"
                                         : n == MASTER   ? "master"
                                                       : number_text("worker-", n - FIRST_WORKER));
}

static void start_node(unsigned n)
{
    struct cluster *cluster = &chaos.cluster;
    const struct node_state *node = &chaos.nodes[n];
    const char *nameserver = cluster_text(cluster, "%s:" PORT, chaos.nodes[NAMESERVER].address);
    if (n == NAMESERVER)
        cluster_start(cluster, child_of(n),
                      (const char *const[]){"/usr/bin/nsenter", node->space,
                                            cluster_program("HD_NAMESERVER"), "--host",
                                            node->address, "--port", PORT, "--plaintext", NULL});
    else if (n == MASTER)
        cluster_start(cluster, child_of(n),
                      (const char *const[]){
                          "/usr/bin/nsenter", node->space, cluster_program("HD_MASTER"),
                          chaos.experiment, "--run-id", RUN, "--resume", "--nameserver", nameserver,
                          "--host", node->address, "--state-dir", cluster->state_dir,
                          "--ping-interval", "500ms", "--plaintext", NULL});
    else
        cluster_start(cluster, child_of(n),
                      (const char *const[]){"/usr/bin/nsenter", node->space,
                                            cluster_program("HD_WORKER"), "--nameserver",
                                            nameserver, "--work-dir",
                                            cluster_path(cluster, "root-%u", n), "--engine",
                                            "process", "--plaintext", NULL});
}

/* ---- trouble -------------------------------------------------------------------------------- */

static void fill_disk(void)
{
    static char bytes[FILL_CHUNK];
    int fd = open(cluster_path(&chaos.cluster, "state/filler"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    while (write(fd, bytes, sizeof(bytes)) > 0)
        ;
    close(fd);
}

static int64_t how_long_ms(enum trouble trouble)
{
    switch (trouble) {
    case KILLED:
        return below(6) == 0 ? 5000 : below(1500);
    case FROZEN:
        return below(5000);
    case CUT:
        return below(6000);
    case LOSSY:
        return 1000 + below(5000);
    case FULL:
        return below(2000);
    case NO_TROUBLE:
    case TROUBLE_COUNT:
        break;
    }
    return 0;
}

/* What does not run and should: the end of its time, or a start with no room on the disk, which a
 * service manager would try again. Anything else is a failure. */
static void tend_stopped(unsigned n)
{
    const struct child *child = child_of(n);
    if (n == MASTER && child->exit == 0)
        return;
    if (n != MASTER || !child_has_said(&chaos.cluster, child, "No space left on device"))
        cluster_fail(&chaos.cluster, "%s ended by itself with %d", child->name, child->exit);
    start_node(n);
}

static void begin_trouble(unsigned n, enum trouble trouble)
{
    struct node_state *node = &chaos.nodes[n];
    struct child *child = child_of(n);
    const char *veth = number_text("v", n);
    if (!child_runs(&chaos.cluster, child)) {
        tend_stopped(n);
        return;
    }
    if (trouble == KILLED)
        child_kill(&chaos.cluster, child, SIGKILL);
    else if (trouble == FROZEN)
        child_signal(child, SIGSTOP);
    else if (trouble == CUT)
        assert_true(TOOL("ip", "link", "set", veth, "down"));
    else if (trouble == LOSSY)
        assert_true(TOOL("tc", "qdisc", "replace", "dev", veth, "root", "netem", "loss", "20%",
                         "delay", "60ms", "40ms"));
    node->trouble = trouble;
    node->until_ms = hd_clock_ms() + how_long_ms(trouble);
    chaos.counts[trouble]++;
}

static void end_trouble(unsigned n)
{
    struct node_state *node = &chaos.nodes[n];
    const char *veth = number_text("v", n);
    switch (node->trouble) {
    case KILLED:
        start_node(n);
        break;
    case FROZEN:
        child_signal(child_of(n), SIGCONT);
        break;
    case CUT:
        assert_true(TOOL("ip", "link", "set", veth, "up"));
        break;
    case LOSSY:
        assert_true(TOOL("tc", "qdisc", "del", "dev", veth, "root"));
        break;
    case NO_TROUBLE:
    case FULL:
    case TROUBLE_COUNT:
        break;
    }
    node->trouble = NO_TROUBLE;
}

static void tend_disk(bool calm)
{
    if (chaos.disk == FULL && (calm || hd_clock_ms() >= chaos.disk_until_ms)) {
        assert_int_equal(unlink(cluster_path(&chaos.cluster, "state/filler")), 0);
        chaos.disk = NO_TROUBLE;
    } else if (chaos.mounted && chaos.disk == NO_TROUBLE && !calm && below(15) == 0) {
        fill_disk();
        chaos.disk = FULL;
        chaos.disk_until_ms = hd_clock_ms() + how_long_ms(FULL);
        chaos.counts[FULL]++;
    }
}

/* Ends what is due (all of it when calm), and begins something new now and then. */
static void tend(bool calm)
{
    unsigned troubled = 0;
    for (unsigned n = 0; n < NODES; n++) {
        if (chaos.nodes[n].trouble != NO_TROUBLE &&
            (calm || hd_clock_ms() >= chaos.nodes[n].until_ms))
            end_trouble(n);
        troubled += chaos.nodes[n].trouble != NO_TROUBLE;
    }
    tend_disk(calm);
    if (calm || troubled >= TROUBLES_MAX)
        return;
    /* Masters and nameservers have as much trouble as all workers together. */
    unsigned n =
        below(3) == 0 ? (unsigned)below(FIRST_WORKER) : FIRST_WORKER + (unsigned)below(WORKERS);
    if (chaos.nodes[n].trouble == NO_TROUBLE)
        begin_trouble(n, KILLED + (enum trouble)below(chaos.netem ? 4 : 3));
}

/* ---- the story ------------------------------------------------------------------------------ */

static void look(void)
{
    struct results now;
    cluster_results(&chaos.cluster, RUN, &now);
    if (now.state[0] == '\0') {
        results_release(&now);
        return;
    }
    assert_results_kept(&chaos.cluster, &chaos.known, &now);
    results_release(&chaos.known);
    chaos.known = now;
}

/* The texts of a step are not needed after it, and there are many steps. */
static void forget_texts(size_t count)
{
    while (chaos.cluster.path_count > count)
        free(chaos.cluster.paths[--chaos.cluster.path_count]);
}

static void storm(void)
{
    int64_t until_ms = hd_clock_ms() + chaos.seconds * 1000;
    size_t texts = chaos.cluster.path_count;
    while (hd_clock_ms() < until_ms) {
        int64_t next_ms = hd_clock_ms() + 50 + below(400);
        while (hd_clock_ms() < next_ms)
            cluster_tick(&chaos.cluster);
        look();
        tend(false);
        forget_texts(texts);
    }
    tend(true);
    if (!child_runs(&chaos.cluster, child_of(MASTER)))
        tend_stopped(MASTER);
    forget_texts(texts);
}

static unsigned attempts_begun(const struct ledger *ledger)
{
    unsigned count = 0;
    for (size_t i = 0; i < ledger->count; i++)
        count += hd_streq(ledger->entries[i].word, "start");
    return count;
}

static void check_end(void)
{
    struct results results;
    struct ledger ledger;
    cluster_results(&chaos.cluster, RUN, &results);
    cluster_ledger_read(&chaos.cluster, &ledger);
    assert_string_equal(results.state, "finished");
    assert_results_kept(&chaos.cluster, &chaos.known, &results);
    assert_ledger_agrees(&chaos.cluster, RUN, &results, &ledger);
    assert_int_equal(results.count, results.jobs); /* nothing was left open */
    unsigned ok = 0;
    for (size_t i = 0; i < results.count; i++)
        ok += hd_streq(results.rows[i].outcome, "ok");
    if (ok == 0)
        cluster_fail(&chaos.cluster, "of %zu results none is ok: %s", results.count,
                     results.count > 0 ? results.rows[0].message : results.reason);
    printf("# %" PRId64 " s: killed %u, frozen %u, cut %u, lossy %u%s, disk full %u\n",
           chaos.seconds, chaos.counts[KILLED], chaos.counts[FROZEN], chaos.counts[CUT],
           chaos.counts[LOSSY], chaos.netem ? "" : " (no netem)", chaos.counts[FULL]);
    printf("# %zu results accepted, %u of them ok; %u attempts begun; none lost, none twice\n",
           results.count, ok, attempts_begun(&ledger));
    ledger_release(&ledger);
    results_release(&results);
}

static void a_cluster_in_a_storm_loses_nothing(void **state)
{
    (void)state;
    if (!make_network()) {
        print_message("no network namespaces here\n");
        skip();
    }
    assert_int_equal(mkdir(chaos.cluster.state_dir, 0755), 0);
    chaos.mounted = mount("tmpfs", chaos.cluster.state_dir, "tmpfs", 0, DISK_SIZE) == 0;
    start_node(NAMESERVER);
    child_wait_text(&chaos.cluster, child_of(NAMESERVER), "listening on");
    for (unsigned n = MASTER; n < NODES; n++)
        start_node(n);
    storm();
    struct child *master = child_of(MASTER);
    int64_t until_ms = hd_clock_ms() + 2 * CLUSTER_DEADLINE_MS;
    while (child_runs(&chaos.cluster, master)) {
        if (hd_clock_ms() > until_ms)
            cluster_fail(&chaos.cluster, "the run does not end");
        cluster_tick(&chaos.cluster);
        look();
    }
    if (master->exit != 0)
        cluster_fail(&chaos.cluster, "the master ended with %d", master->exit);
    check_end();
}

static int setup(void **state)
{
    (void)state;
    const char *seed = getenv("HD_CHAOS_SEED"), *seconds = getenv("HD_CHAOS_SECONDS");
    uint64_t number = seed != NULL ? strtoull(seed, NULL, 10) : hd_os_random_u64() >> 40;
    chaos.seconds = seconds != NULL ? (int64_t)strtoull(seconds, NULL, 10) : SECONDS_DEFAULT;
    printf("# HD_CHAOS_SEED=%" PRIu64 "\n", number);
    hd_rng_seed(&chaos.rng, number);
    cluster_open(&chaos.cluster);
    cluster_ledger_open(&chaos.cluster, false);
    write_experiment();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    results_release(&chaos.known);
    if (chaos.mounted)
        (void)umount2(chaos.cluster.state_dir, MNT_DETACH);
    cluster_close(&chaos.cluster); /* the holders are our children */
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_cluster_in_a_storm_loses_nothing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
