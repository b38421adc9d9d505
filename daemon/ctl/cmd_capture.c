/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `pyauditctl capture`: what the daemon sees, into a file that `replay`, `rules explain` and
 * `learn` read. Signals end it in order, so that the file gets its end.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "capture_stream.h"
#include "ctl.h"

static const char help[] =
	"Usage: pyauditctl capture [OPTION...] FILE\n"
	"\n"
	"Writes every event that the daemon is told of into FILE, with the facts of its process and\n"
	"the policy that judged it, until ^C. FILE is emptied first and readable by its owner\n"
	"alone: it holds arguments of programs. What no rule and no `record` setting asks for is\n"
	"not told to the daemon and not captured.\n"
	"\n"
	"  --filter EXPR   only events that this condition, as in rules, holds for\n"
	"  --since TIME    begin with what the daemon remembers since then, as for `tail`\n"
	"  --for DURATION  end after 500ms, 30s, 10m, 2h or 1d\n"
	"  --dir DIR       the daemon's runtime directory (default: PYAUDIT_DIR or /run/pyaudit)\n"
	"  -q, --quiet     do not say how much was captured\n"
	"\n"
	"Examples:\n"
	"  pyauditctl capture --for 10m --filter \"proc.unit = 'shop.service'\" shop.capture\n"
	"  pyauditctl replay shop.capture --rules new.json\n"
	"\n"
	"Exit status: 0 the file is whole; 1 the daemon cannot be asked or went away, or the file\n"
	"cannot be written; 2 mistake on the command line or in EXPR.\n";

struct options {
	struct capture_request request;
	const char *file;
	char since[CTL_TIME_SIZE];
	uint64_t for_ms; /* 0: until a signal */
	bool quiet, help;
};

static volatile sig_atomic_t ended;

static void
on_signal(int signal_number)
{
	ended = signal_number;
}

static int
parse_options(struct options *o, int argc, char **argv)
{
	enum { FILTER = 256, SINCE, FOR, DIRECTORY, QUIET, HELP };
	static const struct option options[] = {
		{"filter", required_argument, NULL, FILTER},
		{"since", required_argument, NULL, SINCE},
		{"for", required_argument, NULL, FOR},
		{"dir", required_argument, NULL, DIRECTORY},
		{"quiet", no_argument, NULL, QUIET},
		{"help", no_argument, NULL, HELP},
		{0},
	};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":hq", options, NULL)) != -1) {
		switch (option) {
		case FILTER:
			o->request.filter = optarg;
			break;
		case SINCE:
			if (!ctl_since(o->since, optarg))
				return ctl_usage_error("capture", "--since: '%s' is no time", optarg);
			o->request.since = o->since;
			break;
		case FOR:
			if (!ctl_duration(optarg, &o->for_ms))
				return ctl_usage_error("capture", "--for: '%s' is no duration",
						       optarg);
			break;
		case DIRECTORY:
			o->request.dir = optarg;
			break;
		case 'q':
		case QUIET:
			o->quiet = true;
			break;
		case 'h':
		case HELP:
			o->help = true;
			(void)fputs(help, stdout);
			return CTL_OK;
		case ':':
			return ctl_usage_error("capture", "option '%s' needs a value",
					       argv[optind - 1]);
		default:
			return ctl_usage_error("capture", "unknown option '%s'", argv[optind - 1]);
		}
	}
	if (optind == argc)
		return ctl_usage_error("capture", "the file to write is missing");
	o->file = argv[optind++];
	if (optind < argc)
		return ctl_usage_error("capture", "unexpected argument '%s'", argv[optind]);
	o->request.dir = client_directory(o->request.dir);
	return CTL_OK;
}

static uint64_t
now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Until the time is over, a signal comes or the daemon goes. Whether it went. */
static bool
capture_until_end(struct capture_stream *stream, uint64_t for_ms, const sigset_t *unblocked)
{
	uint64_t end_ms = now_ms() + for_ms;

	for (;;) {
		struct pollfd fds = {.fd = stream->client.fd, .events = POLLIN};
		uint64_t now = now_ms(), left = for_ms == 0 || now >= end_ms ? 0 : end_ms - now;
		struct timespec wait = {.tv_sec = (time_t)(left / 1000),
					.tv_nsec = (long)(left % 1000) * 1000000};

		if (ended != 0 || (for_ms != 0 && left == 0)) {
			while (capture_stream_take(stream))
				; /* what has come already */
			return false;
		}
		(void)ppoll(&fds, 1, for_ms != 0 ? &wait : NULL, unblocked);
		while (capture_stream_take(stream) && ended == 0 &&
		       (for_ms == 0 || now_ms() < end_ms))
			;
		if (stream->client.fd < 0)
			return true;
	}
}

/* SIGINT and SIGTERM come while it waits, and at no other time. */
static void
set_up_signals(sigset_t *ret_unblocked)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction action = {.sa_handler = on_signal};
	sigset_t ours;

	(void)sigemptyset(&ours);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		(void)sigaction(signals[i], &action, NULL);
		(void)sigaddset(&ours, signals[i]);
	}
	(void)sigprocmask(SIG_BLOCK, &ours, ret_unblocked);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		(void)sigdelset(ret_unblocked, signals[i]);
}

int
cmd_capture(int argc, char **argv)
{
	struct capture_stream stream = CAPTURE_STREAM_INIT;
	struct options o = {0};
	int r = parse_options(&o, argc, argv);
	sigset_t unblocked;
	bool gone;

	if (r != CTL_OK || o.help)
		return r;
	set_up_signals(&unblocked);
	r = capture_stream_ask(&stream, &o.request);
	if (r == CTL_OK) /* a mistake in the filter leaves the file alone */
		r = capture_stream_create(&stream, o.file);
	if (r != CTL_OK) {
		(void)capture_stream_close(&stream);
		return r;
	}
	if (!o.quiet)
		(void)fprintf(stderr, "pyauditctl: capturing to %s%s\n", o.file,
			      o.for_ms == 0 ? "; ^C ends it" : "");
	gone = capture_until_end(&stream, o.for_ms, &unblocked);
	if (gone && stream.error == 0)
		ctl_error("the daemon has gone; '%s' has what came before", o.file);
	r = capture_stream_close(&stream);
	if (r == CTL_OK && !o.quiet)
		(void)fprintf(stderr, "pyauditctl: %llu event%s captured, %llu lost\n",
			      (unsigned long long)stream.n_events, stream.n_events == 1 ? "" : "s",
			      (unsigned long long)stream.n_lost);
	return gone ? CTL_FAILED : r;
}
