/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "entry.h"
#include "journal_socket.h"
#include "report.h"
#include "sink.h"

#define N_ATTACK 12

static char id[PYAUDIT_RULE_ID_MAX + 1], title[] = "t", technique[] = "T1059.004";
static char hostile[PYAUDIT_TEXT_MAX], path[PROCESS_TEXT_MAX];
static char *attack[N_ATTACK];
static struct rule rule = {.id = id, .title = title, .severity = PYAUDIT_SEV_CRITICAL, .attack = attack,
			   .n_attack = N_ATTACK};
static const struct rule_set rules = {.rules = &rule, .n_rules = 1};

/* More of everything than a record of 8 KiB could bring, each byte escaped to four. */
static void
make_largest(struct pyaudit_decoded *d)
{
	static struct pyaudit_value items[PYAUDIT_LIST_MAX];
	static char scratch[PYAUDIT_SCRATCH_SIZE] __attribute__((aligned(8)));
	struct pyaudit_value text = pyaudit_value_text(hostile, sizeof(hostile));

	memset(hostile, '\n', sizeof(hostile));
	memset(id, 'r', PYAUDIT_RULE_ID_MAX);
	for (unsigned i = 0; i < N_ATTACK; i++)
		attack[i] = technique;
	*d = (struct pyaudit_decoded){
		.action = PYAUDIT_ACTION_BLOCK,
		.flags = PYAUDIT_REC_CUT | PYAUDIT_REC_OBSERVED,
		.generation = UINT64_MAX,
		.n_hits = 1,
	};
	for (unsigned i = 0; i < PYAUDIT_LIST_MAX; i++)
		items[i] = text;
	for (unsigned i = 0; i < PYAUDIT_ARGS_MAX; i++)
		d->values[i] = (struct pyaudit_value){.type = PYAUDIT_TAG_LIST, .items = items,
						      .n_items = PYAUDIT_LIST_MAX, .full_len = 1000};
	for (unsigned i = 0; i < PYAUDIT_STACK_MAX; i++)
		d->frames[i] = (struct pyaudit_origin){.file = text, .function = text,
						       .module = text, .line = UINT32_MAX};
	d->event = (struct pyaudit_event){
		.id = PYAUDIT_EV_OS_SYSTEM, .name = "os.system", .name_len = 9,
		.n_args = PYAUDIT_ARGS_MAX, .args = d->values, .frames = d->frames,
		.n_frames = PYAUDIT_STACK_MAX, .origin_asked = PYAUDIT_STACK_MAX,
		.scratch = scratch, .scratch_size = sizeof(scratch),
	};
}

static struct process *
make_process(void)
{
	static const struct users users;
	static struct hello hello = {.ppid = 1, .python = "3.11.2", .venv = ""};
	struct process *process;

	memset(path, 'p', sizeof(path) - 1);
	hello.exe = hello.cwd = path;
	hello.cgroup = "/system.slice/web.service";
	hello.n_argv = PYAUDIT_LIST_MAX;
	for (unsigned i = 0; i < PYAUDIT_LIST_MAX; i++)
		hello.argv[i] = path;
	process = process_new(&hello, 4242, 33, 33, NULL, &users);
	assert_non_null(process);
	return process;
}

/* The fields as the program that passes them on gets them; fails where it would not. */
static unsigned
check_fields(const struct buf *fields, struct buf *entry)
{
	unsigned n = 0;

	assert_false(fields->failed);
	for (size_t at = 0; at < fields->len;) {
		uint32_t size;
		const char *equals;
		uint64_t len;

		assert_true(fields->len - at > sizeof(size));
		memcpy(&size, fields->data + at, sizeof(size));
		at += sizeof(size);
		assert_true(size <= fields->len - at && size <= ENTRY_FIELD_SIZE_MAX);
		equals = memchr(fields->data + at, '=', size);
		assert_non_null(equals);
		buf_add(entry, fields->data + at, (size_t)(equals - (const char *)fields->data) - at);
		buf_add_char(entry, '\n');
		len = size - (uint64_t)(equals + 1 - ((const char *)fields->data + at));
		buf_add(entry, &len, sizeof(len)); /* tests run on little-endian machines */
		buf_add(entry, equals + 1, len);
		buf_add_char(entry, '\n');
		at += size;
		n++;
	}
	assert_true(n <= ENTRY_FIELDS_MAX);
	if (entry_check(entry->data, entry->len) != NULL)
		fail_msg("%s", entry_check(entry->data, entry->len));
	return n;
}

static bool
has(const struct buf *entry, const char *name)
{
	return memmem(entry->data, entry->len, name, strlen(name)) != NULL;
}

static void
the_largest_alert_keeps_the_limits(void **state)
{
	static struct pyaudit_decoded decoded;
	struct process *process = make_process();
	struct report report = {.kind = REPORT_ALERT, .seq = UINT64_MAX, .process = process,
				.decoded = &decoded, .rules = &rules};
	struct buf fields, entry;

	(void)state;
	make_largest(&decoded);
	buf_init(&fields);
	buf_init(&entry);
	sink_journal_fields(&report, &fields);
	assert_true(check_fields(&fields, &entry) > 30);
	assert_true(fields.len > ENTRY_FIELD_SIZE_MAX); /* one at least was cut */
	assert_true(has(&entry, "OBJECT_PID") && has(&entry, "OBJECT_SYSTEMD_UNIT"));
	assert_true(has(&entry, "PYAUDIT_STACK") && has(&entry, "PYAUDIT_ARGV"));
	buf_fini(&fields);
	buf_fini(&entry);
	process_unref(process);
}

static void
what_is_about_the_daemon_names_it(void **state)
{
	struct report reports[] = {
		{.kind = REPORT_LOSS, .lost = 5, .cause = REPORT_CAUSE_SINK, .sink = "journal"},
		{.kind = REPORT_STATUS, .event = "daemon.start", .message = "started\nFORGED=1"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(reports) / sizeof(reports[0]); i++) {
		struct buf fields, entry;

		buf_init(&fields);
		buf_init(&entry);
		sink_journal_fields(&reports[i], &fields);
		(void)check_fields(&fields, &entry);
		assert_true(has(&entry, "OBJECT_PID"));
		assert_false(has(&entry, "\nFORGED"));
		buf_fini(&fields);
		buf_fini(&entry);
	}
}

/* A journald that reads when the test does. */
static int
listen_at(const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", name);
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void
entries_are_sent_and_never_waited_for(void **state)
{
	char dir[] = "/tmp/test_journal.XXXXXX", socket_path[64], got[256];
	struct journal_socket journal = {.path = socket_path, .fd = -1};
	unsigned n_sent = 0, n_read = 0;
	struct buf entry;
	int fd, r;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(socket_path, sizeof(socket_path), "%s/socket", dir);
	assert_int_equal(journal_socket_send(&journal, "x", 1), -ENOENT);
	fd = listen_at(socket_path);
	buf_init(&entry);
	journal_socket_field(&entry, "MESSAGE=a\nb", 11);
	journal_socket_field(&entry, "PRIORITY=3", 10);
	while ((r = journal_socket_send(&journal, entry.data, entry.len)) == 0)
		n_sent++;
	assert_int_equal(r, -EAGAIN); /* nobody reads */
	assert_true(n_sent > 1);
	while (recv(fd, got, sizeof(got), 0) == (ssize_t)entry.len)
		n_read++;
	assert_int_equal(n_read, n_sent);
	assert_memory_equal(got, "MESSAGE\n\3\0\0\0\0\0\0\0a\nb\nPRIORITY=3\n", entry.len);
	assert_int_equal(journal_socket_send(&journal, "again", 5), 0);
	(void)close(fd); /* it is restarted */
	(void)unlink(socket_path);
	assert_true(journal_socket_send(&journal, "x", 1) < 0);
	fd = listen_at(socket_path);
	assert_int_equal(journal_socket_send(&journal, "there", 5), 0);
	assert_int_equal(recv(fd, got, sizeof(got), 0), 5);
	journal_socket_close(&journal);
	buf_fini(&entry);
	(void)close(fd);
	(void)unlink(socket_path);
	(void)rmdir(dir);
}

static void
an_entry_that_is_too_long_for_a_packet_goes_as_a_sealed_file(void **state)
{
	char dir[] = "/tmp/test_journal.XXXXXX", socket_path[64];
	struct journal_socket journal = {.path = socket_path, .fd = -1};
	const size_t size = ENTRY_SIZE_MAX;
	char *large = calloc(1, size), *got = calloc(1, size);
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr message = {.msg_control = &control, .msg_controllen = sizeof(control)};
	int fd, file, small = 4096;

	(void)state;
	assert_non_null(large);
	assert_non_null(got);
	memset(large, 'l', size);
	assert_non_null(mkdtemp(dir));
	(void)snprintf(socket_path, sizeof(socket_path), "%s/socket", dir);
	fd = listen_at(socket_path);
	assert_int_equal(journal_socket_send(&journal, "x", 1), 0);
	assert_int_equal(recv(fd, got, 1, 0), 1);
	assert_int_equal(setsockopt(journal.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	assert_int_equal(journal_socket_send(&journal, large, size), 0);
	assert_int_equal(recvmsg(fd, &message, MSG_CMSG_CLOEXEC), 0);
	memcpy(&file, CMSG_DATA(&control.head), sizeof(file));
	assert_int_equal(pread(file, got, size, 0), size);
	assert_memory_equal(got, large, size);
	assert_int_equal(fcntl(file, F_GET_SEALS),
			 F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
	(void)close(file);
	journal_socket_close(&journal);
	(void)close(fd);
	(void)unlink(socket_path);
	(void)rmdir(dir);
	free(large);
	free(got);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_largest_alert_keeps_the_limits),
		cmocka_unit_test(what_is_about_the_daemon_names_it),
		cmocka_unit_test(entries_are_sent_and_never_waited_for),
		cmocka_unit_test(an_entry_that_is_too_long_for_a_packet_goes_as_a_sealed_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
