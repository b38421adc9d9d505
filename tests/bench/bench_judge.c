/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a judged event costs, by the number of rules: `open` of a 40-byte path that no rule matches.
 * Two kinds of rule sets: plain ones (equality, sets, beginnings, directories) and mixed ones
 * (ends, texts within, globs and regular expressions as well). Prints nanoseconds; judges nothing.
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

/* The condition of rule @i. */
static void
condition(char *out, size_t size, unsigned i, bool mixed)
{
	unsigned kind = i % (mixed ? 8 : 4);

	switch (kind) {
	case 0:
		(void)snprintf(out, size, "file.path = '/srv/app%u/config.json'", i);
		break;
	case 1:
		(void)snprintf(out, size,
			       "file.path in ['/etc/secret%u', '/var/lib/s%u', '/usr/lib/x%u']", i,
			       i, i);
		break;
	case 2:
		(void)snprintf(out, size, "file.path startswith '/usr/share/tool%u/'", i);
		break;
	case 3:
		(void)snprintf(out, size, "file.path under '/home/user%u/.ssh'", i);
		break;
	case 4:
		(void)snprintf(out, size, "file.path endswith '.secret%u'", i);
		break;
	case 5:
		(void)snprintf(out, size, "file.path contains 'credential%u'", i);
		break;
	case 6:
		(void)snprintf(out, size, "file.path glob '/home/*/.config/tool%u/*'", i);
		break;
	default:
		(void)snprintf(out, size, "file.path matches 'id_(rsa|dsa)_%u(\\\\\\\\.old)?$'", i);
		break;
	}
}

static char *
make_rules(unsigned n, bool mixed)
{
	size_t size = 64 + (size_t)n * 256, at = 0;
	char *rules = malloc(size);
	char when[160];

	if (rules == NULL)
		abort();
	at += (size_t)snprintf(rules, size, "{\"version\":1,\"rules\":[");
	for (unsigned i = 0; i < n; i++) {
		condition(when, sizeof(when), i, mixed);
		at += (size_t)snprintf(
			rules + at, size - at,
			"%s{\"id\":\"r%u\",\"title\":\"t\",\"on\":[\"open\"],\"when\":"
			"[\"%s\"],\"action\":\"block\",\"severity\":\"info\"}",
			i > 0 ? "," : "", i, when);
	}
	(void)snprintf(rules + at, size - at, "]}");
	return rules;
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

int
main(void)
{
	static const unsigned counts[] = {1, 10, 100, 1000, 5000};
	double first_ten[2] = {0, 0};

	printf("event and its path alone: %.1f ns\n", measure_judge(NULL));
	printf("%-6s %6s %10s %12s %12s %8s %10s %10s\n", "rules", "kind", "judge ns", "compile ms",
	       "image KiB", "to 10", "open ns", "other ns");
	for (unsigned mixed = 0; mixed < 2; mixed++)
		for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
			char *rules = make_rules(counts[i], mixed);
			struct compile_options options = {.generation = 1};
			struct rule_set *set = NULL;
			struct image image;
			struct diag diag;
			double start, compile_ms, judge_ns;

			diag_init(&diag);
			if (rules_parse(&set, "bench", rules, strlen(rules), &diag) != 0) {
				diag_print(&diag, stderr);
				return 1;
			}
			start = now_ns();
			if (compile_rules(&image, set, &options, &diag) != 0) {
				diag_print(&diag, stderr);
				return 1;
			}
			compile_ms = (now_ns() - start) / 1e6;
			judge_ns = measure_judge(image.bytes);
			if (counts[i] == 10)
				first_ten[mixed] = judge_ns;
			printf("%-6u %6s %10.1f %12.1f %12zu %8.2f %10.1f %10.1f\n", counts[i],
			       mixed ? "mixed" : "plain", judge_ns, compile_ms, image.size / 1024,
			       first_ten[mixed] > 0 ? judge_ns / first_ten[mixed] : 0.0,
			       measure_slot(image.bytes, "open"),
			       measure_slot(image.bytes, "object.__getattr__"));
			image_fini(&image);
			rules_free(set);
			diag_fini(&diag);
			free(rules);
		}
	return 0;
}
