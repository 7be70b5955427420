"""Makes `twistd relaygw` known to Twisted; everything else is imported only when it is chosen."""

from twisted.application.service import ServiceMaker

relaygw = ServiceMaker("relaygw", "relaygw.tap", "A mail relay and gateway.", "relaygw")
