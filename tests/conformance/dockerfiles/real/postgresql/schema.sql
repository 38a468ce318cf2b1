create table fruit (name text primary key, kilos int);
insert into fruit values ('apple', 3), ('pear', 4);
