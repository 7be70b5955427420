"""relaygw: a mail relay and gateway on Twisted. This docstring is the map.

Life of a message, in the order of the folders (a test fails where a name below no longer exists):

    relaygw.ingress    a listener accepts; the ESMTP state machine; limits, TLS, AUTH
    relaygw.filters    each phase (connect, hello, mail, rcpt, data) asks the chain; filters answer verdicts
    relaygw.spool      content + record committed; only now does the client read 250
    relaygw.queue      a record falls due; recipients that share a route travel together
    relaygw.egress     sign, choose host and TLS policy, talk; one outcome per recipient
    relaygw.queue      outcomes folded into the record: done, retry at, or report (a new message, null sender)
    relaygw.mailbox    what is delivered here is read back over POP3 and IMAP4
    relaygw.journal    every step above is one event of a closed set, under one id, from connect to final reply

    relaygw.core        pure: values and decisions; time, randomness and DNS are arguments
    relaygw.interfaces  the plug points, on one page
    relaygw.dns         dnspython's resolver driven by Twisted
    relaygw.sasl        logins, the same for SMTP, POP3 and IMAP4: relaygw.realm and relaygw.tables say who exists,
                        relaygw.channel what TLS proves, relaygw.bans who may not even try,
                        relaygw.promptly how octets come and leave, relaygw.rounds what is done together
    relaygw.holds       the rules that hold mail as it comes in
    relaygw.tls         certificates and contexts for both sides; relaygw.keys DKIM keys, relaygw.keybook their lives
    relaygw.aliases     which addresses of ours lead to others; relaygw.tables has the lookups
    relaygw.rewriters   what may change a message: once, before the commit, on listeners that ask for it, or at every
                        attempt, on routes that do
    relaygw.plugins     the door by which all exchangeable parts come in, ours too
    relaygw.control     the operator's socket, the metrics and the web page; relaygw.cli is the `relaygw` command
    relaygw.testing     fakes and suites for those who write plugins
    relaygw.bridge, relaygw.tasks, relaygw.secret, relaygw.durable   the border to Deferreds, work in the background,
                        a kept secret, files that survive a power cut
    relaygw.tap, relaygw.gateway, relaygw.config    the only places that know every part

Layers point downwards only: ingress, filters, queue, egress, mailbox, control → core, interfaces; siblings meet in
relaygw.tap. A test walks the imports.
"""

__version__ = "0.1.0"
