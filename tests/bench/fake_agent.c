/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A load for the daemon without Python: attaches rings of its own and fills them as fast as it can.
 *
 *   fake_agent DIR PROCESSES RECORDS [alert]
 *
 * Each process pushes so many records of `open` with a path, a mode and flags. One that finds its
 * ring full counts a loss, or with WAIT=1 in the environment tries until there is room, so that
 * the time tells how fast the daemon reads. Prints what was pushed, lost, and the time until all
 * rings were empty.
 *
 *   cc -O2 -D_GNU_SOURCE -Iinclude -Iagent tests/bench/fake_agent.c agent/ring.c agent/codec.c \
 *      agent/events.c -o fake_agent
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <fcntl.h>
#include <sched.h>

#include "event.h"
#include "pyaudit/wire.h"
#include "ring.h"
#include "verdict.h"

static double
now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

static struct pyaudit_ring *
make_ring(int *ret_fd)
{
	int fd = memfd_create("fake-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct pyaudit_ring *ring;

	if (fd < 0 || ftruncate(fd, RING_SIZE) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		die("memfd");
	ring = mmap(NULL, RING_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (ring == MAP_FAILED)
		die("mmap");
	ring_format(ring);
	*ret_fd = fd;
	return ring;
}

static void
send_frame(int sock, uint16_t type, const void *payload, size_t length, int fd)
{
	struct pyaudit_frame head = {.magic = {'P', 'A'}, .major = PYAUDIT_MAJOR,
				     .type = pyaudit_le16_of(type),
				     .length = pyaudit_le32_of((uint32_t)length)};
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	uint8_t packet[512];
	struct iovec iov = {.iov_base = packet, .iov_len = sizeof(head) + length};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

	memcpy(packet, &head, sizeof(head));
	if (length > 0)
		memcpy(packet + sizeof(head), payload, length);
	if (fd >= 0) {
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
	}
	if (sendmsg(sock, &message, MSG_NOSIGNAL) < 0)
		die("send");
}

static int
attach(const char *dir, int ring_fd)
{
	static const char strings[] = "3.11.2\0/usr/bin/fake\0/\0\0\0fake";
	struct {
		struct pyaudit_hello hello;
		char strings[sizeof(strings)];
	} payload = {
		.hello = {.pid = pyaudit_le32_of((uint32_t)getpid()), .route = PYAUDIT_ROUTE_PRELOAD,
			  .reason = PYAUDIT_REASON_START, .n_argv = pyaudit_le16_of(1),
			  .strings = pyaudit_le32_of(sizeof(strings))},
	};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timespec t;
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", dir,
		       PYAUDIT_AGENT_SOCKET);
	if (sock < 0 || connect(sock, (struct sockaddr *)&address, sizeof(address)) < 0)
		die(address.sun_path);
	(void)clock_gettime(CLOCK_REALTIME, &t);
	payload.hello.start_ns =
		pyaudit_le64_of((uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec);
	memcpy(payload.strings, strings, sizeof(strings));
	send_frame(sock, PYAUDIT_FRAME_HELLO, &payload, sizeof(payload), ring_fd);
	return sock;
}

static size_t
make_record(uint8_t *out, bool alert)
{
	struct pyaudit_value args[3] = {
		pyaudit_value_text("/srv/application/templates/index.html", 37),
		pyaudit_value_text("r", 1),
		pyaudit_value_int(524288),
	};
	struct pyaudit_origin frame = {
		.file = pyaudit_value_text("/srv/application/views.py", 25),
		.function = pyaudit_value_text("render", 6),
		.module = pyaudit_value_text("application.views", 17),
		.line = 42,
	};
	struct pyaudit_event event = {.id = PYAUDIT_EV_OPEN, .n_args = 3, .name = "open",
				      .name_len = 4, .args = args, .frames = &frame, .n_frames = 1};
	struct pyaudit_verdict verdict = {
		.action = alert ? PYAUDIT_ACTION_ALERT : PYAUDIT_ACTION_RECORD};

	return pyaudit_record_encode(out, &event, &verdict, 1, 1795359683867285000u,
				     (uint32_t)getpid(), (uint32_t)getpid());
}

static int
run(const char *dir, unsigned long n_records, bool alert)
{
	enum pyaudit_lane lane = alert ? PYAUDIT_LANE_URGENT : PYAUDIT_LANE_ORDINARY;
	bool half_full, wake, wait = getenv("WAIT") != NULL;
	uint8_t record[PYAUDIT_RECORD_MAX];
	size_t size = make_record(record, alert);
	unsigned long n_pushed = 0;
	double begun, pushed;
	int ring_fd, sock;
	struct pyaudit_ring *ring = make_ring(&ring_fd);

	sock = attach(dir, ring_fd);
	while (atomic_load(&ring->beat_ns) == 0)
		(void)usleep(1000);
	begun = now();
	for (unsigned long i = 0; i < n_records; i++) {
		bool ok;

		for (;;) {
			/* Looked at first: a try that fails counts as a loss. */
			uint64_t head = atomic_load(&ring->head[lane]);
			uint64_t tail = atomic_load(&ring->tail[lane]);

			if (!wait || (pyaudit_place_words(pyaudit_place_words(head) -
							  pyaudit_place_words(tail)) * 8 +
						      2 * PYAUDIT_RECORD_MAX < ring->lane_size[lane] &&
				      pyaudit_place_index(head - tail) < ring->n_claims[lane]))
				break;
			(void)sched_yield();
		}
		ok = ring_push(ring, lane, record, size, (uint32_t)getpid(), &half_full, &wake);
		n_pushed += ok;
		if (wake)
			send_frame(sock, PYAUDIT_FRAME_WAKE, NULL, 0, -1);
	}
	pushed = now();
	while (atomic_load(&ring->tail[lane]) != atomic_load(&ring->head[lane]))
		(void)usleep(200);
	printf("%lu pushed, %llu lost, %zu bytes each, pushing %.3f s, until empty %.3f s: "
	       "%.0f events/s\n",
	       n_pushed, (unsigned long long)atomic_load(&ring->n_lost[lane]), size,
	       pushed - begun, now() - begun, (double)n_pushed / (now() - begun));
	return 0;
}

int
main(int argc, char **argv)
{
	unsigned long n_processes, n_records;
	int failed = 0, status;

	if (argc < 4) {
		fprintf(stderr, "usage: fake_agent DIR PROCESSES RECORDS [alert]\n");
		return 2;
	}
	n_processes = strtoul(argv[2], NULL, 10);
	n_records = strtoul(argv[3], NULL, 10);
	for (unsigned long i = 0; i < n_processes; i++)
		if (fork() == 0)
			return run(argv[1], n_records, argc > 4);
	while (wait(&status) > 0)
		failed |= status != 0;
	return failed;
}
