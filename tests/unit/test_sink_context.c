/* SPDX-License-Identifier: Apache-2.0 */
/* Files of what went before alerts: for their owner alone, whole, and never more than so many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "report.h"
#include "sink_context.h"

static struct log quiet;
static char folder[64], dir[96];

static int
make_folder(void **state)
{
	(void)state;
	(void)strcpy(folder, "/tmp/pyaudit-context-XXXXXX");
	if (mkdtemp(folder) == NULL)
		return -1;
	(void)snprintf(dir, sizeof(dir), "%s/context", folder);
	return 0;
}

static int
remove_folder(void **state)
{
	char command[128];

	(void)state;
	(void)snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

static bool
push(struct sink *sink, uint64_t seq, const char *line, char name[SINK_CONTEXT_NAME_MAX])
{
	struct report report = {.kind = REPORT_ALERT, .time_ns = 1750000000000000000u + seq, .seq = seq};
	struct buf buf;
	bool ok;

	buf_init(&buf);
	buf_add_str(&buf, line);
	ok = sink_context_push(sink, &report, &buf, name);
	buf_fini(&buf);
	sink_kick(sink);
	return ok;
}

static unsigned
count_files(uint64_t *ret_bytes)
{
	const struct dirent *entry;
	DIR *open = opendir(dir);
	struct stat st;
	unsigned n = 0;

	*ret_bytes = 0;
	while (open != NULL && (entry = readdir(open)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		n++;
		if (fstatat(dirfd(open), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			*ret_bytes += (uint64_t)st.st_size;
	}
	if (open != NULL)
		(void)closedir(open);
	return n;
}

static void
a_file_is_for_its_owner_alone_and_whole(void **state)
{
	char name[SINK_CONTEXT_NAME_MAX], path[256], bytes[64] = "";
	struct sink *sink = NULL;
	struct stat st;
	int fd;

	(void)state;
	(void)umask(0);
	assert_int_equal(sink_context_new(&sink, dir, &quiet), 0);
	assert_true(push(sink, 7, "{\"an\":\"alert\"}\n", name));
	assert_string_equal(name, "20250615T150640.000000007Z-7.json");
	sink_free(sink, 5000);
	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(fd, bytes, sizeof(bytes) - 1), 15);
	(void)close(fd);
	assert_string_equal(bytes, "{\"an\":\"alert\"}\n");
	assert_int_equal(stat(dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
}

static void
the_oldest_make_room_also_those_of_a_daemon_before(void **state)
{
	char name[SINK_CONTEXT_NAME_MAX], path[256];
	struct sink *sink = NULL;
	uint64_t bytes;

	(void)state;
	for (unsigned run = 0; run < 2; run++) {
		assert_int_equal(sink_context_new(&sink, dir, &quiet), 0);
		for (unsigned i = 0; i < SINK_CONTEXT_FILES_MAX / 2 + 10; i++)
			while (!push(sink, run * SINK_CONTEXT_FILES_MAX + i + 1, "{}\n", name))
				(void)usleep(1000);
		sink_free(sink, 20000);
	}
	assert_int_equal(count_files(&bytes), SINK_CONTEXT_FILES_MAX);
	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(access(path, F_OK), 0);
	(void)snprintf(path, sizeof(path), "%s/20250615T150640.000000001Z-1.json", dir);
	assert_int_equal(access(path, F_OK), -1);
}

static void
bytes_are_bounded_as_well(void **state)
{
	static char line[300001];
	char name[SINK_CONTEXT_NAME_MAX];
	struct sink *sink = NULL;
	uint64_t bytes;

	(void)state;
	memset(line, 'x', sizeof(line) - 1);
	assert_int_equal(sink_context_new(&sink, dir, &quiet), 0);
	for (unsigned i = 1; i <= SINK_CONTEXT_BYTES_MAX / (sizeof(line) - 1) + 5; i++)
		while (!push(sink, i, line, name))
			(void)usleep(1000);
	sink_free(sink, 20000);
	assert_in_range(count_files(&bytes), 10, SINK_CONTEXT_BYTES_MAX / (sizeof(line) - 1));
	assert_in_range(bytes, 1, SINK_CONTEXT_BYTES_MAX);
}

static void
nothing_is_written_where_others_could_have_put_something(void **state)
{
	char name[SINK_CONTEXT_NAME_MAX], other[128], path[256];
	struct sink *sink = NULL;
	uint64_t bytes;

	(void)state;
	/* A link in the place of the directory. */
	(void)snprintf(other, sizeof(other), "%s/other", folder);
	assert_int_equal(mkdir(other, 0700), 0);
	assert_int_equal(symlink(other, dir), 0);
	assert_int_equal(sink_context_new(&sink, dir, &quiet), 0);
	assert_true(push(sink, 1, "{}\n", name));
	sink_free(sink, 5000);
	(void)snprintf(path, sizeof(path), "%s/%s", other, name);
	assert_int_equal(access(path, F_OK), -1);
	/* A directory that others may write to. */
	assert_int_equal(unlink(dir), 0);
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(chmod(dir, 0777), 0);
	assert_int_equal(sink_context_new(&sink, dir, &quiet), 0);
	assert_true(push(sink, 1, "{}\n", name));
	sink_free(sink, 5000);
	assert_int_equal(count_files(&bytes), 0);
	/* A file of that name that is there already. */
	assert_int_equal(chmod(dir, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(symlink("/dev/null", path), 0);
	assert_int_equal(sink_context_new(&sink, dir, &quiet), 0);
	assert_true(push(sink, 1, "{}\n", name));
	sink_free(sink, 5000);
	assert_int_equal(readlink(path, other, sizeof(other)), 9);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_file_is_for_its_owner_alone_and_whole, make_folder,
						remove_folder),
		cmocka_unit_test_setup_teardown(the_oldest_make_room_also_those_of_a_daemon_before,
						make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(bytes_are_bounded_as_well, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(nothing_is_written_where_others_could_have_put_something,
						make_folder, remove_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
