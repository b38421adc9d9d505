/* SPDX-License-Identifier: Apache-2.0 */
/* Reads and forgets what the hooks that are measured send: reader PATH, until it is killed. */
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct pollfd fds[16];
	nfds_t n_fds = 1;
	char buffer[4096];

	if (argc != 2 || strlen(argv[1]) >= sizeof(address.sun_path))
		return 2;
	memcpy(address.sun_path, argv[1], strlen(argv[1]) + 1);
	fds[0] = (struct pollfd){.fd = socket(AF_UNIX, SOCK_SEQPACKET, 0), .events = POLLIN};
	if (fds[0].fd < 0 || bind(fds[0].fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fds[0].fd, 16) < 0)
		return 1;
	while (poll(fds, n_fds, -1) > 0) {
		for (nfds_t i = n_fds; i-- > 1;) {
			if (fds[i].revents == 0)
				continue;
			if (recv(fds[i].fd, buffer, sizeof(buffer), 0) <= 0) {
				(void)close(fds[i].fd);
				fds[i] = fds[--n_fds];
			}
		}
		if (fds[0].revents != 0 && n_fds < 16) {
			int peer = accept(fds[0].fd, NULL, NULL);

			if (peer >= 0)
				fds[n_fds++] = (struct pollfd){.fd = peer, .events = POLLIN};
		}
	}
	return 1;
}
