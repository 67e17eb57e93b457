/* SPDX-License-Identifier: Apache-2.0 */
/* Plans of services: their mistakes, their layers, what the engine is asked for; jsonnet's bounds.
 */
#include "testlib.h"

#include "services.h"

#include <hd/experiment.h>
#include <hd/jsonnet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct hd_err err;

static enum hd_code parse(const char *text, struct hd_services **ret_plan)
{
    struct hd_value *value;
    assert_hd_ok(hd_yaml_parse(text, strlen(text), "s.yaml", &hd_value_limits_file, &value, &err));
    enum hd_code code = hd_services_parse(value, "s.yaml", "/base", ret_plan, &err);
    hd_value_free(value);
    return code;
}

#define TWO(rest) "- {name: aa, image: x}\n- {name: bb, image: y, " rest "}\n"

/* Every mistake is one of the file, with its line and what would be right. */
static void mistakes_are_told_by_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"3", "s.yaml:1: services: expected a list of services"},
        {"[]", "services: there is none"},
        {"services: {}", "services: there is none"},
        {"- 3", "expected a map"},
        {"- {image: x}", "services[0].name: missing"},
        {"- {name: a, image: x}", "services[0].name: expected a name of 2 to 100"},
        {"- {name: \"a b\", image: x}", "services[0].name: expected a name"},
        {"services: {\"-a\": {image: x}}", "services.-a: a name has 2 to 100"},
        {"- {name: aa}", "services.aa.image: missing"},
        {"- {name: aa, image: x}\n- {name: aa, image: y}",
         "s.yaml:2: services[1].name: \"aa\" is there twice"},
        {TWO("depend: [aa]"),
         "s.yaml:2: services.bb.depend: unknown key, did you mean \"depends\"?"},
        {TWO("Image: z"), "in different letters"},
        {TWO("depends: aa"), "services.bb.depends: expected a list"},
        {TWO("depends: [ab]"), "there is no service \"ab\"; did you mean \"aa\"?"},
        {TWO("depends: [aa, aa]"), "\"aa\" is there twice"},
        {TWO("depends: [bb]"), "services.bb.depends: nothing could start first: bb -> bb"},
        {"services:\n  aa: {image: x, depends: [bb]}\n  bb: {image: x, depends: [cc]}\n"
         "  cc: {image: x, depends: [bb]}",
         "s.yaml:3: services.bb.depends: nothing could start first: bb -> cc -> bb"},
        {TWO("cmd: \"a | b\""), "services.bb.cmd: there is no shell"},
        {TWO("cmd: 3"), "services.bb.cmd: expected a list"},
        {TWO("env: 3"), "services.bb.env: expected a map"},
        {TWO("env: [x]"), "expected \"NAME=value\""},
        {TWO("env: {A: [1]}"), "services.bb.env: expected a short text"},
        {TWO("ports: [0]"), "services.bb.ports[0]: expected a port"},
        {TWO("ports: [65536]"), "services.bb.ports[0]: expected a port"},
        {TWO("ports: [\"80:80\", 80, \"80:81\"]"),
         "services.bb.ports[2]: host port 80 is given twice"},
        {TWO("ports: [\"80/http\"]"), "services.bb.ports[0]: expected a port"},
        {TWO("ports: [\"host:80:80\"]"), "services.bb.ports[0]: expected a port"},
        {TWO("ports: [{host: 80}]"), "services.bb.ports[0].container: missing"},
        {TWO("volumes: [data]"), "services.bb.volumes[0]: expected a path of this machine"},
        {TWO("volumes: [\"/a:b\"]"), "services.bb.volumes[0]: expected a path"},
        {TWO("volumes: [\"/a:/b:x\"]"), "after the second ':' it is ro or rw"},
        {TWO("networks: [n n]"), "services.bb.networks: expected a name"},
        {TWO("networks: [nn, nn]"), "\"nn\" is there twice"},
        {TWO("ready: {}"), "expected one of log, port, healthcheck and exit, got 0"},
        {TWO("ready: {log: x, port: 80}"), "got 2 of them"},
        {TWO("ready: {log: \"(\"}"), "services.bb.ready.log: not a regular expression"},
        {TWO("ready: {port: 0}"), "services.bb.ready.port: "},
        {TWO("ready: {exit: false}"), "services.bb.ready.exit: expected true"},
        {TWO("ready: {healthcheck: false}"), "expected true, or a command"},
        {TWO("ready: {exit: true, timeout: soon}"), "services.bb.ready.timeout: "},
    };
    struct hd_services *plan = NULL;
    for (size_t i = 0; i < HD_COUNT(cases); i++)
        assert_hd_fails(parse(cases[i].text, &plan), HD_E_INVALID, cases[i].part);
    assert_null(plan);
}

/* What nothing keeps back starts first; the rest as soon as what it needs has. */
static void layers_follow_dependencies(void **state)
{
    (void)state;
    struct hd_services *plan = NULL;
    assert_hd_ok(parse("- {name: last, image: x, depends: [w2, w9]}\n"
                       "- {name: first, image: x}\n"
                       "- {name: w2, image: x, depends: [first]}\n"
                       "- {name: w9, image: x, depends: [first, w2]}\n"
                       "- {name: alone, image: x}\n",
                       &plan));
    static const uint32_t layers[] = {3, 0, 1, 2, 0};
    assert_int_equal(plan->layer_count, 4);
    for (size_t i = 0; i < plan->count; i++)
        assert_int_equal(plan->items[i].layer, layers[i]);
    hd_services_free(plan);
}

static void assert_container_with(const struct hd_services_options *options, const char *text,
                                  const char *expected)
{
    struct hd_services *plan = NULL;
    struct hd_buf body;
    hd_buf_init(&body, 65536);
    assert_hd_ok(parse(text, &plan));
    assert_hd_ok(services_write_container(&plan->items[0], options, &body, &err));
    assert_string_equal(hd_buf_text(&body), expected);
    hd_buf_release(&body);
    hd_services_free(plan);
}

static void assert_container(const char *text, const char *expected)
{
    const struct hd_services_options options = {.file = "/base/s.yaml", .uuid = "U"};
    assert_container_with(&options, text, expected);
}

#define HEAD                                                                                       \
    "\"Tty\":false,\"Labels\":{\"hyperdock.services\":\"U\",\"hyperdock.services.file\":"          \
    "\"/base/s.yaml\",\"hyperdock.services.name\":\"aa\",\"hyperdock.services.layer\":\"0\"},"
#define TAIL                                                                                       \
    "\"AutoRemove\":false,\"RestartPolicy\":{\"Name\":\"no\"},\"LogConfig\":{\"Type\":"            \
    "\"json-file\",\"Config\":{\"max-size\":\"16m\",\"max-file\":\"2\"}}}"

/* What is asked of the engine, byte for byte: combu's file, and everything there is. */
static void the_engine_is_asked_for_this(void **state)
{
    (void)state;
    assert_container("- {name: aa, image: x}",
                     "{\"Image\":\"x\"," HEAD "\"ExposedPorts\":{},\"HostConfig\":{"
                     "\"PortBindings\":{},\"Mounts\":[]," TAIL "}");
    assert_container(
        "- {Name: aa, Image: x, Cmd: \"serve 'a b' --n 3\", Ports: [{host: 2222/tcp, container: "
        "80/tcp}], Volumes: [{host: data, container: /data}], Networks: [n1, n2]}",
        "{\"Image\":\"x\",\"Cmd\":[\"serve\",\"a b\",\"--n\",\"3\"]," HEAD
        "\"ExposedPorts\":{\"80/tcp\":{}},\"HostConfig\":{\"PortBindings\":{\"80/tcp\":[{"
        "\"HostIp\":\"\",\"HostPort\":\"2222\"}]},\"Mounts\":[{\"Type\":\"bind\",\"Source\":"
        "\"/base/data\",\"Target\":\"/data\"}],\"NetworkMode\":\"n1\"," TAIL
        ",\"NetworkingConfig\":{\"EndpointsConfig\":{\"n1\":{\"Aliases\":[\"aa\"]}}}}");
    assert_container(
        "services: {aa: {image: x, env: {A: 1, B: \"x y\"}, ports: [80, \"127.0.0.1:81:80\", "
        "\"53/udp\"], volumes: [\"/d:/e:ro\"], ready: {healthcheck: \"ok now\"}, networks: "
        "[host]}}",
        "{\"Image\":\"x\",\"Env\":[\"A=1\",\"B=x y\"]," HEAD
        "\"ExposedPorts\":{\"80/tcp\":{},\"53/udp\":{}},\"Healthcheck\":{\"Test\":["
        "\"CMD-SHELL\",\"ok now\"],\"Interval\":1000000000,\"Timeout\":5000000000,\"Retries\":"
        "1000000},\"HostConfig\":{\"PortBindings\":{\"80/tcp\":[{\"HostIp\":\"\",\"HostPort\":"
        "\"\"},{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"81\"}],\"53/udp\":[{\"HostIp\":\"\","
        "\"HostPort\":\"\"}]},\"Mounts\":[{\"Type\":\"bind\",\"Source\":\"/d\",\"Target\":\"/e\","
        "\"ReadOnly\":true}],\"NetworkMode\":\"host\"," TAIL
        ",\"NetworkingConfig\":{\"EndpointsConfig\":{\"host\":{}}}}");
}

/* A worker's own: in networks of its set, under the service's name there, and bounded. */
static void a_set_apart_has_its_own_names(void **state)
{
    (void)state;
    const struct hd_services_bounds bounds = {
        .cpus = 1.5, .memory_bytes = 1u << 20, .pids = 7, .runtime = "runsc"};
    const struct hd_services_options options = {
        .file = "/base/s.yaml", .uuid = "U", .apart = true, .bounds = &bounds};
    char name[HD_SERVICES_NAME_SIZE];
    assert_container_with(
        &options, "- {name: aa, image: x, networks: [n1]}",
        "{\"Image\":\"x\"," HEAD "\"ExposedPorts\":{},\"HostConfig\":{\"PortBindings\":{},"
        "\"Mounts\":[],\"NetworkMode\":\"n1-U\",\"SecurityOpt\":[\"no-new-privileges\"],"
        "\"Memory\":1048576,\"MemorySwap\":1048576,\"NanoCpus\":1500000000,\"PidsLimit\":7,"
        "\"Runtime\":\"runsc\"," TAIL
        ",\"NetworkingConfig\":{\"EndpointsConfig\":{\"n1-U\":{\"Aliases\":[\"aa\"]}}}}");
    assert_string_equal(services_container_name(&options, "aa", name), "aa-U");
    assert_string_equal(services_network_name(&options, "host", name), "host");
}

/* Several machines may share an engine: a path means nothing without whose it is. */
static void a_set_is_found_by_its_host_too(void **state)
{
    (void)state;
    char filter[1024];
    const struct hd_services_options options = {.file = "/s", .host = "box", .uuid = "U"};
    struct hd_buf body;
    hd_buf_init(&body, 4096);
    assert_hd_ok(services_write_network("n", &options, &body, &err));
    assert_non_null(strstr(hd_buf_text(&body), "\"hyperdock.services.host\":\"box\""));
    hd_buf_release(&body);
    assert_hd_ok(services_write_filter("a", "/s", "box", filter, sizeof(filter), &err));
    assert_string_equal(filter, "filters=%7B%22label%22%3A%5B%22a%3D%2Fs%22%2C%22hyperdock.services"
                                ".host%3Dbox%22%5D%7D");
    assert_hd_ok(services_write_filter("a", NULL, NULL, filter, sizeof(filter), &err));
    assert_string_equal(filter, "filters=%7B%22label%22%3A%5B%22a%22%5D%7D");
}

/* The engine's list, sorted by set and layer; what does not carry our labels is not in it. */
static void the_list_is_by_set_and_layer(void **state)
{
    (void)state;
    static const char text[] =
        "[{\"Id\":\"ab\",\"Image\":\"x\",\"State\":\"running\",\"Status\":\"Up\",\"Labels\":{"
        "\"hyperdock.services\":\"U\",\"hyperdock.services.file\":\"/"
        "f\",\"hyperdock.services.name\":"
        "\"late\",\"hyperdock.services.layer\":\"2\"}},"
        "{\"Id\":\"cd\",\"Labels\":{\"hyperdock.services\":\"U\",\"hyperdock.services.file\":\"/"
        "f\","
        "\"hyperdock.services.name\":\"early\",\"hyperdock.services.layer\":\"-1\"}},"
        "{\"Id\":\"ef\",\"Labels\":{\"hyperdock.worker\":\"w\"}},"
        "{\"Id\":\"../x\",\"Labels\":{\"hyperdock.services\":\"U\"}},{\"Id\":3,\"Labels\":null},7]";
    struct hd_service_found *found = NULL;
    size_t count;
    assert_hd_ok(services_parse_list(text, strlen(text), &found, &count, &err));
    assert_int_equal(count, 2);
    assert_string_equal(found[0].name, "early");
    assert_string_equal(found[1].name, "late");
    assert_string_equal(found[1].status, "Up");
    assert_int_equal(found[1].layer, 2);
    hd_free(found);
}

/* In an experiment they are part of what the run is: kept with every default, and read again alike.
 */
static void an_experiment_keeps_its_services(void **state)
{
    (void)state;
    static const char text[] =
        "target: {command: [./t]}\nspace: {x: {type: int, low: 0, high: 9}}\n"
        "services:\n  cache: {image: redis, ports: [80, \"[::1]:81:80/udp\"], env: {A: 1}, "
        "ready: {port: 6379, timeout: 90s}}\n"
        "  db: {image: pg, cmd: \"a 'b c'\", volumes: [\"/d:/e:ro\"], networks: [n1], depends: "
        "[cache], ready: {log: \"^ready\"}}\nservices_per: worker\n";
    struct hd_experiment *experiment = NULL, *again = NULL;
    struct hd_buf json, twice;
    hd_buf_init(&json, HD_EXPERIMENT_BYTES_MAX);
    hd_buf_init(&twice, HD_EXPERIMENT_BYTES_MAX);
    assert_hd_ok(hd_experiment_parse_text(text, strlen(text), "e.yaml", NULL, &experiment, &err));
    assert_int_equal(experiment->services->layer_count, 2);
    assert_hd_ok(hd_experiment_to_json(experiment, &json, &err));
    assert_non_null(strstr(
        hd_buf_text(&json),
        "\"services\":[{\"name\":\"cache\",\"image\":\"redis\",\"cmd\":null,\"env\":[\"A=1\"],"
        "\"ports\":[{\"host\":null,\"container\":\"80/tcp\"},{\"host\":\"[::1]:81\",\"container\":"
        "\"80/udp\"}],\"volumes\":[],\"networks\":[],\"depends\":[],\"ready\":{\"port\":6379,"
        "\"timeout\":\"90s\"}},{\"name\":\"db\",\"image\":\"pg\",\"cmd\":[\"a\",\"b "
        "c\"],\"env\":[],"
        "\"ports\":[],\"volumes\":[{\"host\":\"/d\",\"container\":\"/e\",\"read_only\":true}],"
        "\"networks\":[\"n1\"],\"depends\":[\"cache\"],\"ready\":{\"log\":\"^ready\",\"timeout\":"
        "\"1m\"}}],\"services_per\":\"worker\""));
    assert_true(experiment->services_per_worker);
    assert_hd_ok(
        hd_experiment_parse_text(hd_buf_text(&json), json.size, "again", NULL, &again, &err));
    assert_hd_ok(hd_experiment_to_json(again, &twice, &err));
    assert_string_equal(hd_buf_text(&json), hd_buf_text(&twice));
    hd_buf_release(&json);
    hd_buf_release(&twice);
    hd_experiment_free(experiment);
    hd_experiment_free(again);
    again = NULL;
    static const char wrong[] =
        "target: {command: [./t]}\nspace: {x: {type: int, low: 0, high: 9}}\n"
        "services:\n  aa: {image: x}\n  bb: {image: x, depends: [cc]}\n";
    assert_hd_fails(hd_experiment_parse_text(wrong, strlen(wrong), "e.yaml", NULL, &again, &err),
                    HD_E_INVALID, "e.yaml:5: services.bb.depends: there is no service \"cc\"");
    static const char alone[] = "target: {command: [./t]}\nspace: {x: {type: bool}}\n"
                                "services_per: worker\n";
    assert_hd_fails(hd_experiment_parse_text(alone, strlen(alone), "e.yaml", NULL, &again, &err),
                    HD_E_INVALID, "e.yaml:3: services_per: there are no services");
    static const char unknown[] = "target: {command: [./t]}\nspace: {x: {type: bool}}\n"
                                  "services: {aa: {image: x}}\nservices_per: job\n";
    assert_hd_fails(
        hd_experiment_parse_text(unknown, strlen(unknown), "e.yaml", NULL, &again, &err),
        HD_E_INVALID, "e.yaml:4: services_per: unknown \"job\"");
}

/* ---- jsonnet --------------------------------------------------------------------------------- */

static enum hd_code evaluate(const char *text, const char *directory, struct hd_value **ret_value)
{
    return hd_jsonnet_evaluate(text, strlen(text), "s.jsonnet", directory, "Uu1", ret_value, &err);
}

/* combu's example: one UUID for every literal of that name, layers from functions, lines found. */
static void jsonnet_becomes_a_plan(void **state)
{
    (void)state;
    struct hd_value *value = NULL;
    struct hd_services *plan = NULL;
    assert_hd_ok(
        evaluate("local one(n, d=[]) = {name: n, image: 'x', networks: ['UUID', \"UUID\" + "
                 "'-2'], depends: d, cmd: 'UUIDs'};\n"
                 "[one('first')] +\n"
                 "[one('w%d' % i, ['first']) for i in std.range(2, 20)] +\n"
                 "[one('last', ['w9', 'w20'])]\n",
                 NULL, &value));
    assert_hd_ok(hd_services_parse(value, "s.jsonnet", "/base", &plan, &err));
    assert_int_equal(plan->count, 21);
    assert_int_equal(plan->layer_count, 3);
    assert_string_equal(plan->items[0].networks[0], "Uu1");
    assert_string_equal(plan->items[20].networks[1], "Uu1-2");
    assert_string_equal(plan->items[3].command[0], "UUIDs");
    hd_services_free(plan);
    hd_value_free(value);
    assert_hd_ok(evaluate("[\n{name: 'aa', image: 'x'},\n{name: 'bb', image: 'x',\ndepends: "
                          "['cc']}]",
                          NULL, &value));
    plan = NULL;
    assert_hd_fails(hd_services_parse(value, "s.jsonnet", "/base", &plan, &err), HD_E_INVALID,
                    "s.jsonnet:4: services.bb.depends: there is no service \"cc\"");
    hd_value_free(value);
}

/* What is done with the texts of a file afterwards has an end too: this one has as many places to
 * look at as texts to look for. */
static void many_texts_are_placed_in_time(void **state)
{
    (void)state;
    struct hd_value *value = NULL;
    struct hd_buf text;
    hd_buf_init(&text, HD_JSONNET_SOURCE_MAX);
    assert_hd_ok(hd_buf_puts(&text, "local s = 'x';\n// ", &err));
    for (int i = 0; i < 800000; i++)
        assert_hd_ok(hd_buf_puts(&text, "'", &err));
    assert_hd_ok(hd_buf_puts(&text, "\n[s + i for i in std.range(1, 1000)] + ['x']", &err));
    assert_hd_ok(hd_jsonnet_evaluate(text.data, text.size, "s.jsonnet", NULL, NULL, &value, &err));
    assert_int_equal(value->as.array.count, 1001);
    /* Its literal is not looked for any more. */
    assert_int_equal(value->as.array.items[1000]->line, 0);
    hd_value_free(value);
    hd_buf_release(&text);
}

/* A file that is wrong, endless or greedy is an error of the file, and nothing else. */
static void jsonnet_has_bounds(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum hd_code code;
        const char *part;
    } cases[] = {
        {"[{name: 'aa' image: 3}]", HD_E_INVALID, "s.jsonnet:1:14"},
        {"local f(x) = f(x + 1); f(1)", HD_E_INVALID, "s.jsonnet: max stack frames exceeded"},
        {"error 'no'", HD_E_INVALID, "s.jsonnet: no"},
        {"std.range(1, 1000000000)", HD_E_LIMIT, "processor time, or more than 1024 MiB of memory"},
        {"local s = std.join('', std.makeArray(50000, function(i) '0123456789')); [s for i in "
         "std.range(1, 20)]",
         HD_E_LIMIT, "more than 4194304 bytes of JSON"},
        {"import '/etc/passwd'", HD_E_INVALID, "is not in the directory of the file"},
        {"importstr '../outside'", HD_E_INVALID, "is not in the directory of the file"},
        {"importstr 'link'", HD_E_INVALID, "is not in the directory of the file"},
        {"importstr 'none'", HD_E_INVALID, "is not in the directory of the file"},
    };
    struct hd_value *value = NULL;
    char *dir = test_dir_make();
    char inside[512], outside[512], link[544], file[544];
    (void)hd_format(inside, sizeof(inside), "%s/in", dir);
    (void)hd_format(outside, sizeof(outside), "%s/outside", dir);
    (void)hd_format(link, sizeof(link), "%s/link", inside);
    (void)hd_format(file, sizeof(file), "%s/lib.libsonnet", inside);
    assert_int_equal(mkdir(inside, 0755), 0);
    test_file_write(outside, "secret");
    test_file_write(file, "{a: 'UUID'}");
    assert_int_equal(symlink(outside, link), 0);
    for (size_t i = 0; i < HD_COUNT(cases); i++) {
        assert_hd_fails(evaluate(cases[i].text, inside, &value), cases[i].code, cases[i].part);
        assert_null(strstr(err.text, "secret"));
    }
    assert_hd_fails(hd_jsonnet_evaluate("1\0 2", 4, "s.jsonnet", inside, NULL, &value, &err),
                    HD_E_INVALID, "NUL");
    assert_hd_ok(evaluate("(import 'lib.libsonnet').a", inside, &value));
    assert_string_equal(value->as.string, "UUID"); /* only the file's own source, as combu did */
    hd_value_free(value);
    (void)hd_format(link, sizeof(link), "(import '%s').a", file + 1); /* of a file that lies in / */
    assert_hd_ok(evaluate(link, "/", &value));
    hd_value_free(value);
    test_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mistakes_are_told_by_line),
        cmocka_unit_test(layers_follow_dependencies),
        cmocka_unit_test(the_engine_is_asked_for_this),
        cmocka_unit_test(a_set_apart_has_its_own_names),
        cmocka_unit_test(a_set_is_found_by_its_host_too),
        cmocka_unit_test(the_list_is_by_set_and_layer),
        cmocka_unit_test(an_experiment_keeps_its_services),
        cmocka_unit_test(jsonnet_becomes_a_plan),
        cmocka_unit_test(jsonnet_has_bounds),
        cmocka_unit_test(many_texts_are_placed_in_time),
    };
    return cmocka_run_group_tests_name("services", tests, NULL, NULL);
}
