"""What people look at: tables, pictures, films and reports of runs."""
