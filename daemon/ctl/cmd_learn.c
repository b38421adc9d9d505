/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `pyauditctl learn`: captures, or what the daemon sees for a while, to a draft of rules. What was
 * learned is judged by the draft before it is given out: it raises nothing, or the draft is wrong.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#include "capture_stream.h"
#include "cleanup.h"
#include "ctl.h"
#include "learn.h"
#include "pattern.h"
#include "replay.h"
#include "writer.h"

static const char help[] =
	"Usage: pyauditctl learn [OPTION...] CAPTURE...\n"
	"       pyauditctl learn [OPTION...] --live --for DURATION\n"
	"\n"
	"Turns what programs did into a draft of what they may do: for each script the programs it\n"
	"starts, hosts, paths, libraries, and the text it runs as code; all else raises an alert.\n"
	"Versions, numbers and temporary names become wildcards. The draft is a rule file with\n"
	"comments, to be read and changed. Only kinds of events that were recorded get a rule:\n"
	"capture with `run --record all`, or `record = all` in pyauditd.conf, to learn them all.\n"
	"\n"
	"  --script GLOB    only scripts whose path matches; \"-c\" and \"-m MODULE\" are scripts too\n"
	"  --live           learn from the running daemon\n"
	"  --for DURATION   how long: 30s, 10m, 2h, 1d\n"
	"  --dir DIR        the daemon's runtime directory (default: PYAUDIT_DIR or /run/pyaudit)\n"
	"  --output FILE    write the draft to FILE, not to standard output\n"
	"\n"
	"Examples:\n"
	"  pyauditctl run --record all --capture shop.capture -- python3 shop.py\n"
	"  pyauditctl learn shop.capture --script '**/shop.py' --output shop.json\n"
	"  pyauditctl learn --live --for 1h --script '/srv/**' > srv.json\n"
	"\n"
	"Exit status: 0 a draft was written; 1 there was nothing to learn from, a capture is damaged\n"
	"or cannot be read, the daemon cannot be asked; 2 mistake on the command line.\n";

struct request {
	const char *script, *dir, *output;
	bool live, help;
	uint64_t for_ms;
	char **captures;
	size_t n_captures;
	FILE *live_file; /* what --live captured */
};

struct session {
	struct pattern *script; /* or NULL: all */
	struct learn *learn;
	struct replay replay;
	uint64_t n_events, n_alerts;
};

static int
parse_options(struct request *request, int argc, char **argv)
{
	enum { SCRIPT = 256, LIVE, FOR, DIRECTORY, OUTPUT, HELP };
	static const struct option options[] = {
		{"script", required_argument, NULL, SCRIPT},
		{"live", no_argument, NULL, LIVE},
		{"for", required_argument, NULL, FOR},
		{"dir", required_argument, NULL, DIRECTORY},
		{"output", required_argument, NULL, OUTPUT},
		{"help", no_argument, NULL, HELP},
		{0},
	};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":ho:", options, NULL)) != -1) {
		switch (option) {
		case SCRIPT:
			request->script = optarg;
			break;
		case LIVE:
			request->live = true;
			break;
		case FOR:
			if (!ctl_duration(optarg, &request->for_ms))
				return ctl_usage_error("learn", "--for: '%s' is no duration",
						       optarg);
			break;
		case DIRECTORY:
			request->dir = optarg;
			break;
		case 'o':
		case OUTPUT:
			request->output = optarg;
			break;
		case 'h':
		case HELP:
			request->help = true;
			(void)fputs(help, stdout);
			return CTL_OK;
		case ':':
			return ctl_usage_error("learn", "option '%s' needs a value",
					       argv[optind - 1]);
		default:
			return ctl_usage_error("learn", "unknown option '%s'", argv[optind - 1]);
		}
	}
	request->captures = argv + optind;
	request->n_captures = (size_t)(argc - optind);
	if (request->live != (request->for_ms != 0))
		return ctl_usage_error("learn", "--live and --for go together");
	if (request->live && request->n_captures > 0)
		return ctl_usage_error("learn", "either --live or captures");
	if (!request->live && request->n_captures == 0)
		return ctl_usage_error("learn", "the captures to learn from are missing");
	request->dir = client_directory(request->dir);
	return CTL_OK;
}

/* ---- what is learned from ---- */

static int64_t
now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* The daemon's events into a file without a name. */
static int
capture_live(struct request *request)
{
	struct capture_stream stream = CAPTURE_STREAM_INIT;
	const struct capture_request what = {.dir = request->dir};
	int64_t end_ms = now_ms() + (int64_t)request->for_ms, left;
	int r;

	request->live_file = tmpfile();
	stream.fd = request->live_file != NULL ? dup(fileno(request->live_file)) : -1;
	stream.path = "a temporary file";
	if (stream.fd < 0) {
		ctl_error("cannot make a temporary file: %s", strerror(errno));
		return CTL_FAILED;
	}
	r = capture_stream_ask(&stream, &what);
	while (r == CTL_OK && stream.client.fd >= 0 && (left = end_ms - now_ms()) > 0) {
		struct pollfd fds = {.fd = stream.client.fd, .events = POLLIN};

		(void)poll(&fds, 1, left < 60000 ? (int)left : 60000);
		while (capture_stream_take(&stream) && now_ms() < end_ms)
			;
	}
	if (r == CTL_OK && stream.client.fd < 0 && stream.error == 0)
		ctl_error("the daemon has gone: learning from what came before");
	return capture_stream_close(&stream) == CTL_OK ? r : CTL_FAILED;
}

static bool
is_wanted(const struct session *s, const struct capture_event *event)
{
	const struct pyaudit_value *script =
		&event->facts->fact[PYAUDIT_F_PROC_SCRIPT - PYAUDIT_F_PROC_PID];

	return s->script == NULL || (pyaudit_value_is_text(script) &&
				     pattern_holds(s->script, script->s, script->len));
}

static int
learn_from(void *data, const struct capture_event *event)
{
	struct session *s = data;

	if (!is_wanted(s, event))
		return 0;
	s->n_events++;
	return learn_event(s->learn, event);
}

static int
judge(void *data, const struct capture_event *event)
{
	struct session *s = data;
	struct pyaudit_verdict verdict;
	int r = replay_judge(&s->replay, event, &verdict);

	if (r == 0 && verdict.n_hits > 0)
		s->n_alerts++;
	return r;
}

static int
read_one(FILE *in, const char *path, capture_fn *fn, struct session *s)
{
	struct capture_summary summary;
	char why[CAPTURE_WHY_MAX];
	int r;

	if (in == NULL) {
		ctl_error("cannot read '%s': %s", path, strerror(errno));
		return CTL_FAILED;
	}
	r = capture_read(in, &(struct capture_reader){.event = fn}, s, &summary, why);
	if (r == CAPTURE_E_INVALID)
		ctl_error("%s: %s", path, why);
	else if (r < 0)
		ctl_error("cannot learn from '%s': %s", path, strerror(-r));
	else if (fn == learn_from && summary.n_lost > 0)
		ctl_error("%s: %llu events were lost when it was captured: the draft may lack them",
			  path, (unsigned long long)summary.n_lost);
	return r == 0 ? CTL_OK : CTL_FAILED;
}

static int
read_all(const struct request *request, capture_fn *fn, struct session *s)
{
	int r = CTL_OK;

	if (request->live) {
		rewind(request->live_file);
		return read_one(request->live_file, "the live capture", fn, s);
	}
	for (size_t i = 0; r == CTL_OK && i < request->n_captures; i++) {
		CLEANUP(fclosep) FILE *in = fopen(request->captures[i], "re");

		r = read_one(in, request->captures[i], fn, s);
	}
	return r;
}

/* ---- the draft ---- */

/* What was learned must pass, and the draft be a rule file. */
static int
try_draft(const struct request *request, struct session *s, const struct buf *draft)
{
	CLEANUP(rules_freep) struct rule_set *rules = NULL;
	struct diag diag;
	int r;

	diag_init(&diag);
	r = rules_parse(&rules, "the draft", draft->data, draft->len, &diag);
	if (r == 0) {
		replay_init(&s->replay, rules, &diag);
		r = read_all(request, judge, s);
		replay_fini(&s->replay);
		if (r == CTL_OK && s->n_alerts > 0) {
			ctl_error("the draft would raise %llu alerts for what it was learned from",
				  (unsigned long long)s->n_alerts);
			r = CTL_FAILED;
		}
	} else {
		diag_print(&diag, stderr);
		ctl_error("the draft has mistakes");
		r = CTL_FAILED;
	}
	diag_fini(&diag);
	return r;
}

static int
write_draft(const struct request *request, const struct buf *draft)
{
	CLEANUP(fclosep) FILE *out = request->output != NULL ? fopen(request->output, "we") : NULL;
	FILE *to = out != NULL ? out : stdout;

	if ((request->output != NULL && out == NULL) ||
	    fwrite(draft->data, 1, draft->len, to) != draft->len || fflush(to) != 0) {
		ctl_error("cannot write to '%s': %s",
			  request->output != NULL ? request->output : "standard output",
			  strerror(errno));
		return CTL_FAILED;
	}
	return CTL_OK;
}

static int
learn(struct request *request, struct session *s)
{
	struct learn_summary summary = {0};
	CLEANUP(buf_fini) struct buf draft;
	int r = request->live ? capture_live(request) : CTL_OK;

	buf_init(&draft);
	if (r == CTL_OK)
		r = read_all(request, learn_from, s);
	if (r != CTL_OK)
		return r;
	if (s->n_events == 0) {
		ctl_error("nothing to learn from: no event of %s",
			  request->script != NULL ? "such a script" : "any script");
		return CTL_FAILED;
	}
	if (learn_write(s->learn, request->live ? "the running daemon" : request->captures[0],
			&draft, &summary) != 0) {
		ctl_error("out of memory");
		return CTL_FAILED;
	}
	r = try_draft(request, s, &draft);
	if (r == CTL_OK)
		r = write_draft(request, &draft);
	if (r == CTL_OK)
		(void)fprintf(stderr,
			      "pyauditctl: %zu rules for %zu scripts, learned from %llu events\n",
			      summary.n_rules, summary.n_scripts, (unsigned long long)s->n_events);
	if (r == CTL_OK && summary.n_left_out > 0)
		ctl_error("more than %d scripts: %zu events of others were left out (--script)",
			  LEARN_SCRIPTS_MAX, summary.n_left_out);
	return r;
}

int
cmd_learn(int argc, char **argv)
{
	struct request request = {0};
	struct session session = {0};
	struct pattern_error error;
	int r = parse_options(&request, argc, argv);

	if (r != CTL_OK || request.help)
		return r;
	session.learn = learn_new();
	if (session.learn == NULL) {
		ctl_error("out of memory");
		return CTL_FAILED;
	}
	if (request.script != NULL &&
	    pattern_parse(&session.script, PATTERN_GLOB, request.script, strlen(request.script),
			  &error) != 0)
		r = ctl_usage_error("learn", "--script: %s", error.message);
	if (r == CTL_OK)
		r = learn(&request, &session);
	if (request.live_file != NULL)
		(void)fclose(request.live_file);
	pattern_free(session.script);
	learn_free(session.learn);
	return r;
}
