/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a judged event costs in the evaluator, by the rules there are: `open` of a 40-byte path that
 * none of them matches. bench_judge FILE... prints a row for each rule file (mixed.py makes them);
 * "to first" is against the first file of the same kind, which is its name up to the last '-'.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "compile.h"
#include "rules.h"
#include "verdict.h"

static const char path[] = "/usr/lib/python3/dist-packages/yaml/x.py";
static_assert(sizeof(path) == 41, "the path is 40 bytes long");

#define ROUNDS 400

static double
now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static char *
read_file(const char *name, size_t *ret_len)
{
	FILE *file = fopen(name, "re");
	char *bytes = NULL;
	long size;

	if (file == NULL)
		return NULL;
	if (fseek(file, 0, SEEK_END) == 0 && (size = ftell(file)) >= 0 &&
	    fseek(file, 0, SEEK_SET) == 0) {
		bytes = malloc((size_t)size + 1);
		if (bytes != NULL)
			*ret_len = fread(bytes, 1, (size_t)size, file);
	}
	(void)fclose(file);
	return bytes;
}

/* Short rounds, and the best of many: other programs share the machine. Without an image, what the
 * event itself and its path cost. */
static double
measure_judge(const void *image)
{
	const struct pyaudit_slot *slot = image ? pyaudit_image_slot(image, "open") : NULL;
	struct pyaudit_value args[3] = {pyaudit_value_text(path, sizeof(path) - 1),
					pyaudit_value_text("r", 1), pyaudit_value_int(0)};
	char scratch[PYAUDIT_SCRATCH_SIZE];
	struct pyaudit_proc_bits bits;
	struct pyaudit_verdict verdict;
	double best = 1e9;

	memset(&bits, 0, sizeof(bits));
	for (unsigned round = 0; round < ROUNDS; round++) {
		const unsigned n = 2000;
		double start = now_ns(), each;

		for (unsigned i = 0; i < n; i++) {
			struct pyaudit_event event;

			memset(&event, 0, sizeof(event));
			event.id = PYAUDIT_EV_OPEN;
			event.n_args = 3;
			event.name = "open";
			event.name_len = 4;
			event.args = args;
			event.scratch = scratch;
			event.scratch_size = sizeof(scratch);
			if (image == NULL) {
				struct pyaudit_value value;

				if (!pyaudit_field(&event, PYAUDIT_F_FILE_PATH, &value))
					abort();
				__asm__ volatile("" : : "r"(&value) : "memory");
				continue;
			}
			pyaudit_judge(image, slot, &bits, &event, &verdict);
			if (verdict.action != PYAUDIT_ACTION_NONE)
				abort();
		}
		each = (now_ns() - start) / n;
		if (each < best)
			best = each;
	}
	return best;
}

/* What most events cost: a glance at the path. */
static double
measure_glance(const void *image)
{
	const struct pyaudit_slot *slot = pyaudit_image_slot(image, "open");
	double best = 1e9;

	for (unsigned round = 0; round < ROUNDS; round++) {
		const unsigned n = 2000;
		double start = now_ns(), each;

		for (unsigned i = 0; i < n; i++) {
			const char *opaque = path;

			__asm__ volatile("" : "+r"(opaque));
			if (!pyaudit_glance(image, slot, opaque, sizeof(path) - 1))
				abort();
		}
		each = (now_ns() - start) / n;
		if (each < best)
			best = each;
	}
	return best;
}

static double
measure_slot(const void *image, const char *name)
{
	double best = 1e9;

	for (unsigned round = 0; round < ROUNDS; round++) {
		const unsigned n = 10000;
		double start = now_ns(), each;
		unsigned flags = 0;

		for (unsigned i = 0; i < n; i++) {
			const char *opaque = name;

			__asm__ volatile("" : "+r"(opaque));
			flags |= pyaudit_image_slot(image, opaque)->flags;
		}
		__asm__ volatile("" : : "r"(flags));
		each = (now_ns() - start) / n;
		if (each < best)
			best = each;
	}
	return best;
}

/* The part of a file's name that says its kind: plain-1000.json is of the kind "plain". */
static size_t
kind_length(const char *file)
{
	const char *dash = strrchr(file, '-');

	return dash != NULL ? (size_t)(dash - file) : strlen(file);
}

static int
measure(const char *file, const char *kind, double *first_ns)
{
	const char *name = strrchr(file, '/');
	struct compile_options options = {.generation = 1};
	struct rule_set *set = NULL;
	struct image image;
	struct diag diag;
	size_t len = 0, n_rules;
	char *rules = read_file(file, &len);
	double start, compile_ms, judge_ns;

	if (rules == NULL) {
		perror(file);
		return 1;
	}
	diag_init(&diag);
	start = now_ns();
	if (rules_parse(&set, file, rules, len, &diag) != 0 ||
	    compile_rules(&image, set, &options, &diag) != 0) {
		diag_print(&diag, stderr);
		return 1;
	}
	compile_ms = (now_ns() - start) / 1e6;
	n_rules = set->n_rules;
	judge_ns = measure_judge(image.bytes);
	if (*first_ns == 0 || kind_length(kind) != kind_length(file) ||
	    memcmp(kind, file, kind_length(file)) != 0)
		*first_ns = judge_ns;
	printf("  %-18s %6zu %10.1f %10.1f %10.2f %12.1f %12zu %10.1f %10.1f\n",
	       name != NULL ? name + 1 : file, n_rules, measure_glance(image.bytes), judge_ns, judge_ns / *first_ns,
	       compile_ms, image.size / 1024, measure_slot(image.bytes, "open"),
	       measure_slot(image.bytes, "object.__getattr__"));
	image_fini(&image);
	rules_free(set);
	diag_fini(&diag);
	free(rules);
	return 0;
}

int
main(int argc, char **argv)
{
	double first_ns = 0;

	printf("  event and its path alone: %.1f ns\n", measure_judge(NULL));
	printf("  %-18s %6s %10s %10s %10s %12s %12s %10s %10s\n", "file", "rules", "glance ns", "judge ns",
	       "to first", "compile ms", "image KiB", "open ns", "other ns");
	for (int i = 1; i < argc; i++)
		if (measure(argv[i], argv[i > 1 ? i - 1 : i], &first_ns) != 0)
			return 1;
	return 0;
}
