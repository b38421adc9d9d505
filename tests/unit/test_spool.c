/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "spool.h"

#define ITEM 4000 /* bytes */

static struct log quiet;
static char dir[] = "/tmp/test_spool.XXXXXX";

/* Paths of the spool's files, in order; returns their number. */
static unsigned
files(char paths[][300])
{
	struct dirent **entries;
	int n = scandir(dir, &entries, NULL, alphasort);
	unsigned n_files = 0;

	assert_true(n >= 0);
	for (int i = 0; i < n; i++) {
		if (entries[i]->d_name[0] != '.' && n_files < SPOOL_FILES_MAX)
			(void)snprintf(paths[n_files++], 300, "%s/%s", dir, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	return n_files;
}

static struct spool *
open_it(size_t size)
{
	struct spool *spool = NULL;

	assert_int_equal(spool_open(&spool, dir, "test", size, &quiet), 0);
	return spool;
}

static int
add(struct spool *spool, uint32_t number, bool urgent)
{
	static char item[ITEM];

	memcpy(item, &number, sizeof(number));
	return spool_add(spool, item, sizeof(item), 2, urgent);
}

/* Takes all out, @at_once of each batch; they count on from @first. Returns their number. */
static uint32_t
take_all(struct spool *spool, uint32_t first, size_t at_once)
{
	uint64_t weights[SPOOL_BATCH];
	struct iovec iov[SPOOL_BATCH];
	uint32_t n_taken = 0, number;
	size_t n;

	while ((n = spool_gather(spool, iov, weights)) > 0) {
		if (n > at_once)
			n = at_once;
		for (size_t i = 0; i < n; i++) {
			memcpy(&number, iov[i].iov_base, sizeof(number));
			assert_int_equal(number, first + n_taken);
			assert_int_equal(iov[i].iov_len, ITEM);
			assert_int_equal(weights[i], 2);
			n_taken++;
		}
		spool_pop(spool, n);
	}
	return n_taken;
}

static void
items_come_out_in_order_while_others_go_in(void **state)
{
	struct spool *spool = open_it(SPOOL_SIZE_MIN);
	char paths[SPOOL_FILES_MAX][300];

	(void)state;
	for (uint32_t i = 0; i < 150; i++)
		assert_int_equal(add(spool, i, false), SPOOL_TAKEN);
	assert_true(files(paths) > 2);
	assert_int_equal(spool_n_items(spool), 150);
	for (uint32_t i = 0; i < 100; i++) {
		struct iovec iov[SPOOL_BATCH];
		uint64_t weights[SPOOL_BATCH];
		uint32_t number;

		assert_true(spool_gather(spool, iov, weights) > 0);
		memcpy(&number, iov[0].iov_base, sizeof(number));
		assert_int_equal(number, i);
		spool_pop(spool, 1);
		assert_int_equal(add(spool, 150 + i, false), SPOOL_TAKEN);
	}
	assert_int_equal(take_all(spool, 100, 7), 150);
	assert_int_equal(files(paths), 0);
	assert_int_equal(spool_used(spool), 0);
	assert_int_equal(spool_take_lost(spool), 0);
	spool_close(spool);
}

static void
what_stands_in_it_outlives_its_owner(void **state)
{
	struct spool *spool = open_it(SPOOL_SIZE_MIN);
	uint64_t weights[SPOOL_BATCH];
	struct iovec iov[SPOOL_BATCH];

	(void)state;
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(add(spool, i, false), SPOOL_TAKEN);
	assert_true(spool_gather(spool, iov, weights) >= 10);
	spool_pop(spool, 10);
	spool_close(spool);
	spool = open_it(SPOOL_SIZE_MIN);
	assert_int_equal(spool_n_items(spool), 90);
	assert_int_equal(add(spool, 100, false), SPOOL_TAKEN);
	assert_int_equal(take_all(spool, 10, SPOOL_BATCH), 91);
	spool_close(spool);
}

static void
its_last_quarter_is_for_urgent_items(void **state)
{
	struct spool *spool = open_it(SPOOL_SIZE_MIN);
	uint32_t n = 0, n_urgent = 0;

	(void)state;
	while (add(spool, n, false) == SPOOL_TAKEN)
		n++;
	assert_int_equal(add(spool, n, false), SPOOL_E_FULL);
	assert_in_range(n, SPOOL_SIZE_MIN / 4 * 3 / ITEM - 5, SPOOL_SIZE_MIN / 4 * 3 / ITEM);
	while (add(spool, n + n_urgent, true) == SPOOL_TAKEN)
		n_urgent++;
	assert_in_range(n_urgent, SPOOL_SIZE_MIN / 4 / ITEM - 5, SPOOL_SIZE_MIN / 4 / ITEM);
	assert_true(spool_used(spool) <= SPOOL_SIZE_MIN);
	assert_int_equal(take_all(spool, 0, SPOOL_BATCH), n + n_urgent);
	spool_close(spool);
}

static void
a_torn_end_is_cut_off(void **state)
{
	struct spool *spool = open_it(SPOOL_SIZE_MIN);
	char paths[SPOOL_FILES_MAX][300];

	(void)state;
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(add(spool, i, false), SPOOL_TAKEN);
	spool_close(spool);
	assert_int_equal(files(paths), 1);
	assert_int_equal(truncate(paths[0], 9 * (24 + ITEM) + 200), 0);
	spool = open_it(SPOOL_SIZE_MIN);
	assert_int_equal(spool_n_items(spool), 9);
	assert_int_equal(add(spool, 9, false), SPOOL_TAKEN);
	assert_int_equal(take_all(spool, 0, SPOOL_BATCH), 10);
	spool_close(spool);
}

static void
a_file_that_is_damaged_meanwhile_is_counted(void **state)
{
	struct spool *spool = open_it(SPOOL_SIZE_MIN);
	char paths[SPOOL_FILES_MAX][300];
	uint64_t n_first;
	FILE *file;

	(void)state;
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(add(spool, i, false), SPOOL_TAKEN);
	assert_true(files(paths) > 1);
	file = fopen(paths[0], "r+");
	assert_non_null(file);
	(void)fseek(file, 0, SEEK_END);
	n_first = (uint64_t)ftell(file) / (24 + ITEM);
	(void)fseek(file, 1000, SEEK_SET);
	assert_int_equal(fwrite("damage", 1, 6, file), 6);
	(void)fclose(file);
	assert_int_equal(take_all(spool, (uint32_t)n_first, SPOOL_BATCH), 100 - n_first);
	assert_int_equal(spool_take_lost(spool), 2 * n_first);
	assert_int_equal(spool_n_items(spool), 0);
	spool_close(spool);
}

static void
files_of_others_are_left_alone(void **state)
{
	char path[400];
	struct spool *spool;
	FILE *file;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/test.00000000000000000007", dir);
	file = fopen(path, "w");
	assert_non_null(file);
	(void)fputs("no spool at all", file);
	(void)fclose(file);
	spool = open_it(SPOOL_SIZE_MIN); /* of our name, and none of ours: removed */
	assert_int_equal(spool_n_items(spool), 0);
	assert_int_equal(access(path, F_OK), -1);
	spool_close(spool);
	(void)snprintf(path, sizeof(path), "%s/other", dir);
	file = fopen(path, "w");
	assert_non_null(file);
	(void)fclose(file);
	spool = open_it(SPOOL_SIZE_MIN);
	spool_close(spool);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(spool_open(&spool, "/nonexistent/x", "test", 0, &quiet), -ENOENT);
}

static void
a_full_disk_is_said_and_nothing_is_torn(void **state)
{
	struct rlimit before, limit;
	struct spool *spool = open_it(SPOOL_SIZE_MIN);
	uint32_t n = 0;

	(void)state;
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = before;
	limit.rlim_cur = 20000;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	while (add(spool, n, true) == SPOOL_TAKEN)
		n++;
	assert_true(add(spool, n, true) < 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(n, 4);
	assert_int_equal(add(spool, n, true), SPOOL_TAKEN);
	assert_int_equal(take_all(spool, 0, SPOOL_BATCH), 5);
	spool_close(spool);
}

static int
begin(void **state)
{
	(void)state;
	log_init(&quiet, open("/dev/null", O_WRONLY | O_CLOEXEC), LOG_LEVEL_ERROR);
	return mkdtemp(dir) != NULL ? 0 : -1;
}

static int
end(void **state)
{
	(void)state;
	return rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(items_come_out_in_order_while_others_go_in),
		cmocka_unit_test(what_stands_in_it_outlives_its_owner),
		cmocka_unit_test(its_last_quarter_is_for_urgent_items),
		cmocka_unit_test(a_torn_end_is_cut_off),
		cmocka_unit_test(a_file_that_is_damaged_meanwhile_is_counted),
		cmocka_unit_test(files_of_others_are_left_alone),
		cmocka_unit_test(a_full_disk_is_said_and_nothing_is_torn),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
