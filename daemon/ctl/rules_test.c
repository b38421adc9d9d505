/* SPDX-License-Identifier: Apache-2.0 */
/* `pyauditctl rules test`. */
#include <string.h>

#include "cleanup.h"
#include "coverage.h"
#include "rules_cmd.h"
#include "ruletest.h"
#include "unparse.h"
#include "writer.h"

const char rules_test_help[] =
	"Usage: pyauditctl rules test [--coverage] [--json] PATH...\n"
	"\n"
	"Runs the tests that stand beside the rules, each rule alone, through the evaluator that\n"
	"watched programs use. Says how often a rule acted (hits), how often it was rightly quiet\n"
	"(look-alikes), and which rules no test makes act.\n"
	"\n"
	"  --coverage  also say which conditions no test makes hold, or none makes fail, which\n"
	"              comparisons within them and which exceptions no test reaches, and how many\n"
	"              of each are covered\n"
	"  --json      one object: totals, the rules with their counts, and the list of diagnostics\n"
	"\n"
	"Examples:\n"
	"  pyauditctl rules test /usr/share/pyaudit/rules.d /etc/pyaudit/rules.d\n"
	"  pyauditctl rules test --coverage mine.json\n"
	"\n"
	"Exit status: 0 all tests passed, 1 a test failed or there are mistakes, 2 a path cannot "
	"be\n"
	"read or mistake on the command line.\n";

static void
print_test_table(const struct ruletest *tests)
{
	size_t n_quiet = tests->n_tests - tests->n_failed;

	for (size_t i = 0; i < tests->n_rules; i++) {
		const struct ruletest_rule *result = &tests->rules[i];
		const char *word = result->n_failed > 0		? "FAIL"
				   : result->rule->n_tests + result->rule->n_timelines == 0 ? "none"
								: "ok";

		(void)printf("%-4s  %-36s %zu hit%s, %zu look-alike%s", word, result->rule->id,
			     result->n_hits, rules_plural(result->n_hits), result->n_lookalikes,
			     rules_plural(result->n_lookalikes));
		if (result->n_failed > 0)
			(void)printf(", %zu failed", result->n_failed);
		(void)putchar('\n');
	}
	(void)printf("%zu of %zu tests passed; %zu of %zu rules reached", n_quiet, tests->n_tests,
		     tests->n_reached, tests->n_rules);
	if (tests->n_untested > 0)
		(void)printf(", %zu without tests", tests->n_untested);
	(void)putchar('\n');
}

static void
add_tests(struct json *json, const struct ruletest *tests)
{
	json_key(json, "tests");
	json_uint(json, tests->n_tests);
	json_key(json, "failed");
	json_uint(json, tests->n_failed);
	json_key(json, "reached");
	json_uint(json, tests->n_reached);
	json_key(json, "untested");
	json_uint(json, tests->n_untested);
	json_key(json, "rules");
	json_array(json);
	for (size_t i = 0; i < tests->n_rules; i++) {
		const struct ruletest_rule *result = &tests->rules[i];

		json_object(json);
		json_key(json, "id");
		json_str(json, result->rule->id);
		json_key(json, "hits");
		json_uint(json, result->n_hits);
		json_key(json, "lookalikes");
		json_uint(json, result->n_lookalikes);
		json_key(json, "failed");
		json_uint(json, result->n_failed);
		json_object_end(json);
	}
	json_array_end(json);
}

static const char *
lack(const struct coverage_part *part)
{
	return part->n_true == 0 && part->n_false == 0 ? "no test asks it"
	       : part->n_true == 0		       ? "no test makes it hold"
						       : "no test makes it fail";
}

static void
add_text(struct buf *out, const struct coverage_part *part)
{
	if (part->text != NULL)
		buf_add_str(out, part->text);
	else
		unparse_expr(out, part->expr);
}

static void
add_missing(struct json *json, const struct coverage_part *part)
{
	struct buf text;

	buf_init(&text);
	add_text(&text, part);
	json_object(json);
	json_key(json, "rule");
	json_str(json, part->rule->id);
	json_key(json, "kind");
	json_str(json, coverage_kind_name(part->kind));
	json_key(json, "text");
	json_text(json, text.data, text.len);
	json_key(json, "why");
	json_str(json, lack(part));
	json_key(json, "file");
	json_str(json, part->file);
	json_key(json, "line");
	json_uint(json, part->line);
	json_object_end(json);
	json->out->failed |= text.failed;
	buf_fini(&text);
}

static void
add_coverage(struct json *json, const struct coverage *coverage)
{
	static const char *const names[] = {"conditions", "tests", "exceptions"};

	json_key(json, "coverage");
	json_object(json);
	for (unsigned i = 0; i < COVERAGE_KINDS; i++) {
		json_key(json, names[i]);
		json_object(json);
		json_key(json, "total");
		json_uint(json, coverage->kinds[i].n);
		json_key(json, "covered");
		json_uint(json, coverage->kinds[i].n_covered);
		json_object_end(json);
	}
	json_key(json, "missing");
	json_array(json);
	for (size_t i = 0; i < coverage->n_parts; i++)
		if (!coverage_is_covered(&coverage->parts[i]))
			add_missing(json, &coverage->parts[i]);
	json_array_end(json);
	json_object_end(json);
}

static unsigned
percent(size_t n, size_t of)
{
	return of == 0 ? 100 : (unsigned)(100 * n / of);
}

static void
print_coverage(const struct coverage *coverage, const struct ruletest *tests)
{
	struct buf text;

	buf_init(&text);
	for (size_t i = 0; i < coverage->n_parts; i++) {
		const struct coverage_part *part = &coverage->parts[i];

		if (coverage_is_covered(part))
			continue;
		buf_reset(&text);
		buf_addf(&text, "%s:%u: rule '%s': %s: %s ", part->file, part->line, part->rule->id,
			 lack(part), coverage_kind_name(part->kind));
		add_text(&text, part);
		buf_add_char(&text, '\0');
		text_print(stdout, "", text.failed ? "" : text.data);
	}
	buf_fini(&text);
	(void)printf("rules reached %u %% (%zu of %zu), conditions both ways %u %% (%zu of %zu), "
		     "comparisons %u %% (%zu of %zu), exceptions %u %% (%zu of %zu)\n",
		     percent(tests->n_reached, tests->n_rules), tests->n_reached, tests->n_rules,
		     percent(coverage->kinds[0].n_covered, coverage->kinds[0].n),
		     coverage->kinds[0].n_covered, coverage->kinds[0].n,
		     percent(coverage->kinds[1].n_covered, coverage->kinds[1].n),
		     coverage->kinds[1].n_covered, coverage->kinds[1].n,
		     percent(coverage->kinds[2].n_covered, coverage->kinds[2].n),
		     coverage->kinds[2].n_covered, coverage->kinds[2].n);
}

int
rules_test(struct rules_request *request)
{
	CLEANUP(ruletest_fini) struct ruletest tests = {0};
	CLEANUP(coverage_fini) struct coverage coverage = {0};
	CLEANUP(buf_fini) struct buf out;
	struct json json;

	buf_init(&out);
	if (request->outcome == 0)
		request->outcome = ruletest_run(&tests, request->set, &request->diag);
	if (request->outcome == 0 && request->coverage)
		request->outcome = coverage_measure(&coverage, request->set, &request->diag);
	if (request->outcome < 0) {
		ctl_error("cannot run the tests: %s", strerror(-request->outcome));
		return CTL_FAILED;
	}
	if (request->json) {
		json = json_on(&out);
		json_object(&json);
		add_tests(&json, &tests);
		if (request->coverage)
			add_coverage(&json, &coverage);
		rules_add_diagnostics(&json, &request->diag);
		json_object_end(&json);
		return rules_print_json(&out, rules_exit_code(request));
	}
	if (request->set != NULL)
		print_test_table(&tests);
	if (request->coverage && request->outcome == 0)
		print_coverage(&coverage, &tests);
	(void)fflush(stdout);
	diag_print(&request->diag, stderr);
	return rules_exit_code(request);
}
