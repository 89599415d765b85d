"""PowerEPOS Remote Order System (ROS): REST out, webhooks in. Pages: docs.powerepos.cloud/Document/ROS."""
